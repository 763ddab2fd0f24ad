// drive starts a real control plane with Argo CD on loopback, has a scenario loaded into it, prints the document of the lab and takes
// everything down at SIGTERM. `up` builds it and what it starts.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// patience is how long one part may take to answer.
const patience = 3 * time.Minute

// pairs collects repeated --set KEY=VALUE.
type pairs []string

func (p *pairs) String() string         { return strings.Join(*p, " ") }
func (p *pairs) Set(value string) error { *p = append(*p, value); return nil }

type options struct {
	scenario  string
	dir       string
	bin       string
	assets    string
	loader    string
	manifests string
	server    bool
	bare      bool
	sets      pairs
	// Where an order goes instead of a start.
	ctl string
}

func main() {
	// Children die with the thread that started them, so it must be the one that lives as long as the program.
	runtime.LockOSThread()
	var o options
	flag.StringVar(&o.dir, "dir", "", "where everything is kept; a folder of its own under the temporary one, removed at the end, if not given")
	flag.StringVar(&o.bin, "bin", "", "the folder of the built components")
	flag.StringVar(&o.assets, "assets", "", "the folder of this program's YAML files")
	flag.StringVar(&o.loader, "loader", "", "the program that loads a scenario into a cluster")
	flag.StringVar(&o.manifests, "manifests", "", "the folder `manifests` of Argo CD")
	flag.BoolVar(&o.server, "server", true, "run argocd-server too")
	flag.StringVar(&o.ctl, "ctl", "", "give the words to the cluster in this folder as an order, and end")
	flag.Bool("serve", true, "as the lab has it: print the line and run until SIGTERM; there is nothing else to do here")
	flag.BoolVar(&o.bare, "bare", false, "load no scenario; Argo CD compares an application when something of it changes, and not every few minutes as well")
	flag.Var(&o.sets, "set", "KEY=VALUE, as for the lab")
	var words []string
	for rest := os.Args[1:]; len(rest) > 0; {
		if err := flag.CommandLine.Parse(rest); err != nil {
			os.Exit(2)
		}
		if rest = flag.Args(); len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
	}
	if o.ctl != "" {
		if err := command(o.ctl, words); err != nil {
			fmt.Fprintln(os.Stderr, "the cluster:", err)
			os.Exit(1)
		}
		return
	}
	if len(words) > 1 {
		fmt.Fprintln(os.Stderr, "one scenario at a time:", strings.Join(words, " "))
		os.Exit(2)
	}
	o.scenario = strings.Join(words, "")
	if o.bare && o.scenario != "" {
		fmt.Fprintln(os.Stderr, "--bare loads no scenario:", o.scenario)
		os.Exit(2)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if err := run(o, stop); err != nil {
		fmt.Fprintln(os.Stderr, "the cluster:", err)
		os.Exit(1)
	}
}

func run(o options, stop <-chan os.Signal) error {
	own := o.dir == ""
	if own {
		dir, err := os.MkdirTemp("", "trueup-cluster-")
		if err != nil {
			return err
		}
		o.dir = dir
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err == nil {
		return fmt.Errorf("%s holds a cluster already: remove it, or name another folder", dir)
	}
	o.dir = dir
	for _, sub := range []string{"logs", "git", "argocd/tls", "argocd/ssh", "argocd/bin", "argocd/home", "argocd/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	c := &cluster{options: o, children: newChildren(filepath.Join(dir, "logs"))}
	if c.ports, err = takePorts(filepath.Join(filepath.Dir(o.bin), "ports")); err != nil {
		return err
	}
	control := filepath.Join(dir, "control")
	orders, err := listen(control)
	if err != nil {
		return err
	}
	defer func() {
		_ = os.Remove(control)
		c.children.stop()
		if own {
			_ = os.RemoveAll(dir)
		}
	}()
	// Started on this thread; the signal is looked for wherever something is waited for.
	c.stop = stop
	document, err := c.start()
	if err == errStopped {
		return nil
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(document)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	for {
		select {
		case <-stop:
			return nil
		case dead := <-c.children.died:
			return dead.error()
		case order := <-orders:
			if c.carryOut(order) == errStopped {
				return nil
			}
		}
	}
}

var errStopped = fmt.Errorf("told to stop")

// until tries `ready` until it gives no error: whether the component NAME serves. A dead child or a signal ends the wait.
func (c *cluster) until(name string, ready func() error) error {
	deadline := time.After(patience)
	// Whoever starts it again waits in the same way.
	if one := c.children.find(name); one != nil && one.ready == nil {
		one.ready = ready
	}
	for {
		why := ready()
		if why == nil {
			return nil
		}
		select {
		case <-c.stop:
			return errStopped
		case dead := <-c.children.died:
			return dead.error()
		case <-deadline:
			return fmt.Errorf("%s did not come within %s: %w; the end of its log:\n%s", name, patience, why, tail(c.children.log(name)))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// firstLine waits for one line of JSON from a child.
func (c *cluster) firstLine(from io.Reader) (map[string]any, error) {
	type answer struct {
		document map[string]any
		err      error
	}
	got := make(chan answer, 1)
	go func() {
		var a answer
		line, err := bufio.NewReader(from).ReadBytes('\n')
		if a.err = err; err == nil {
			a.err = json.Unmarshal(line, &a.document)
		}
		got <- a
	}()
	select {
	case <-c.stop:
		return nil, errStopped
	case dead := <-c.children.died:
		return nil, dead.error()
	case a := <-got:
		if a.err == io.EOF {
			// It ended without a word: why is known in a moment.
			return nil, (<-c.children.died).error()
		}
		return a.document, a.err
	}
}
