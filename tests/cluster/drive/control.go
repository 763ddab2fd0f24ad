package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An order from outside about one component, for tests of what happens without it: `VERB NAME`, answered with `ok` or why not.
type order struct {
	verb, name string
	answer     chan<- string
}

// listen takes orders on a socket in the folder, from whoever may open it.
func listen(path string) (<-chan order, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	orders := make(chan order)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				line, err := bufio.NewReader(connection).ReadString('\n')
				if err != nil {
					return
				}
				verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
				answer := make(chan string, 1)
				orders <- order{verb, name, answer}
				fmt.Fprintln(connection, <-answer)
			}()
		}
	}()
	return orders, nil
}

// command is the other end: gives an order to the cluster in a folder and prints the answer.
func command(dir string, words []string) error {
	if len(words) != 1 && len(words) != 2 {
		return fmt.Errorf("usage: tests/cluster/ctl DIR list | start NAME | stop NAME | kill NAME | pause NAME | resume NAME")
	}
	connection, err := net.Dial("unix", filepath.Join(dir, "control"))
	if err != nil {
		return fmt.Errorf("no cluster runs in %s: %w", dir, err)
	}
	defer connection.Close()
	fmt.Fprintln(connection, strings.Join(words, " "))
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the cluster in %s did not answer: %w", dir, err)
	}
	answer = strings.TrimSpace(answer)
	if why, failed := strings.CutPrefix(answer, "error: "); failed {
		return fmt.Errorf("%s", why)
	}
	fmt.Println(answer)
	return nil
}

// carryOut does what an order says. An error that is errStopped is for the program, every other for who gave the order.
func (c *cluster) carryOut(o order) error {
	answer, err := c.obey(o)
	if err != nil {
		answer = "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	o.answer <- answer
	if err == errStopped {
		return err
	}
	return nil
}

func (c *cluster) obey(o order) (string, error) {
	if o.verb == "list" {
		return c.list(), nil
	}
	one := c.children.find(o.name)
	if one == nil {
		return "", fmt.Errorf("no component %q; there is: %s", o.name, c.list())
	}
	running := func() error {
		if !one.runs() {
			return fmt.Errorf("%s does not run", one.name)
		}
		return nil
	}
	switch o.verb {
	case "stop", "kill":
		if err := running(); err != nil {
			return "", err
		}
		c.children.mutex.Lock()
		one.ended = true
		c.children.mutex.Unlock()
		grace := time.Duration(0)
		if o.verb == "stop" {
			one.signal(syscall.SIGTERM)
			one.signal(syscall.SIGCONT)
			grace = 10 * time.Second
		}
		one.end(grace)
	case "start":
		if one.runs() {
			return "", fmt.Errorf("%s runs already", one.name)
		}
		if err := c.children.run(one, nil); err != nil {
			return "", err
		}
		if one.ready != nil {
			if err := c.until(one.name, one.ready); err != nil {
				return "", err
			}
		}
	case "pause", "resume":
		if err := running(); err != nil {
			return "", err
		}
		one.paused = o.verb == "pause"
		if one.paused {
			one.signal(syscall.SIGSTOP)
		} else {
			one.signal(syscall.SIGCONT)
		}
	default:
		return "", fmt.Errorf("unknown order %q", o.verb)
	}
	return "ok", nil
}

// list gives each component with its process and whether it runs, in one line of JSON.
func (c *cluster) list() string {
	components := []map[string]any{}
	for _, one := range c.children.running {
		state := "running"
		if !one.runs() {
			state = "stopped"
		} else if one.paused {
			state = "paused"
		}
		components = append(components, map[string]any{"name": one.name, "pid": one.cmd.Process.Pid, "state": state})
	}
	line, _ := json.Marshal(components)
	return string(line)
}
