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

type child struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{}
}

type death struct {
	name string
	why  error
	log  string
}

func (d death) error() error {
	text, _ := os.ReadFile(d.log)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return fmt.Errorf("%s ended (%v); the end of its log:\n%s", d.name, d.why, bytes.Join(lines, []byte("\n")))
}

func newChildren(logs string) *children {
	return &children{logs: logs, died: make(chan death, 64)}
}

// start runs a program with its output in logs/NAME.log. `out`, if given, gets standard output instead.
func (c *children) start(name string, env []string, out io.Writer, program string, args ...string) error {
	path := filepath.Join(c.logs, name+".log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if out != nil {
		cmd.Stdout = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	one := &child{name: name, cmd: cmd, gone: make(chan struct{})}
	c.mutex.Lock()
	c.running = append(c.running, one)
	c.mutex.Unlock()
	go func() {
		why := cmd.Wait()
		close(one.gone)
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if !c.stopping {
			c.died <- death{name, why, path}
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
		_ = syscall.Kill(-running[i].cmd.Process.Pid, syscall.SIGTERM)
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

func (c *child) end(grace time.Duration) {
	select {
	case <-c.gone:
	case <-time.After(grace):
	}
	// The group outlives its leader if a member was left.
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.gone
}
