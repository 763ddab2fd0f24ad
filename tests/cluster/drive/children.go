package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// children are the processes that were started, each leading a group of its own so that what it starts goes with it.
type children struct {
	logs string
	died chan death

	mutex    sync.Mutex
	stopping bool
	running  []*child
}

// A child is a part of the cluster; it may be stopped and started again with the same arguments.
type child struct {
	name    string
	env     []string
	program string
	args    []string
	// ready says why it does not serve yet; nil where nobody waits for it.
	ready func() error

	cmd  *exec.Cmd
	gone chan struct{}
	// Its end is expected: somebody asked for it.
	ended  bool
	paused bool
}

type death struct {
	name string
	why  error
	log  string
}

func (d death) error() error {
	return fmt.Errorf("%s ended (%v); the end of its log:\n%s", d.name, d.why, tail(d.log))
}

// tail gives the last lines of a file.
func tail(path string) []byte {
	text, _ := os.ReadFile(path)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return bytes.Join(lines, []byte("\n"))
}

func newChildren(logs string) *children {
	return &children{logs: logs, died: make(chan death, 64)}
}

func (c *children) log(name string) string { return filepath.Join(c.logs, name+".log") }

// start runs a program with its output added to logs/NAME.log. `out`, if given, gets standard output instead.
func (c *children) start(name string, env []string, out io.Writer, program string, args ...string) error {
	one := &child{name: name, env: env, program: program, args: args}
	if err := c.run(one, out); err != nil {
		return err
	}
	c.mutex.Lock()
	c.running = append(c.running, one)
	c.mutex.Unlock()
	return nil
}

// find gives the child of that name.
func (c *children) find(name string) *child {
	for _, one := range c.running {
		if one.name == name {
			return one
		}
	}
	return nil
}

// run must be called on the thread that lives as long as the program: a child dies with the thread that started it.
func (c *children) run(one *child, out io.Writer) error {
	path := c.log(one.name)
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(one.program, one.args...)
	cmd.Env = append(os.Environ(), one.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if out != nil {
		cmd.Stdout = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", one.name, err)
	}
	gone := make(chan struct{})
	c.mutex.Lock()
	one.cmd, one.gone, one.ended, one.paused = cmd, gone, false, false
	c.mutex.Unlock()
	go func() {
		why := cmd.Wait()
		// Asked before anybody hears that it is gone: who does may start it again, and then nothing is expected.
		c.mutex.Lock()
		expected := c.stopping || one.ended
		c.mutex.Unlock()
		close(gone)
		if !expected {
			c.died <- death{one.name, why, path}
		}
	}()
	return nil
}

// stop ends them in the order of their starting backwards, etcd last: an API server whose etcd is gone lingers and keeps its port. Nothing
// that they hold is needed again, so after a moment they are killed.
func (c *children) stop() {
	c.mutex.Lock()
	c.stopping = true
	running := c.running
	c.mutex.Unlock()
	for i := len(running) - 1; i >= 0; i-- {
		running[i].signal(syscall.SIGTERM)
		running[i].signal(syscall.SIGCONT)
		if running[i].name == "kube-apiserver" || running[i].name == "etcd" {
			running[i].end(0)
		}
	}
	grace := 2 * time.Second
	for i := len(running) - 1; i >= 0; i-- {
		since := time.Now()
		running[i].end(grace)
		if grace -= time.Since(since); grace < 0 {
			grace = 0
		}
	}
}

func (c *child) runs() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// signal goes to its whole group. The group outlives its leader if a member was left; the number of one that is gone for good is not given
// out again while this program holds a child of it.
func (c *child) signal(signal syscall.Signal) { _ = syscall.Kill(-c.cmd.Process.Pid, signal) }

func (c *child) end(grace time.Duration) {
	select {
	case <-c.gone:
	case <-time.After(grace):
	}
	c.signal(syscall.SIGKILL)
	<-c.gone
}
