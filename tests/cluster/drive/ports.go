package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Ports are taken in blocks below those that the system gives out by itself, so that no connection of anybody's can take one between its choice
// and its use, nor while a component is down. A block belongs to who holds the lock on its file.
const (
	firstPort = 21000
	lastPort  = 29000
	blockSize = 20
)

type ports struct {
	lock *os.File
	next int
	end  int
}

// takePorts finds a block that no other cluster of this user has and in which nobody listens.
func takePorts(folder string) (*ports, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for first := firstPort; first < lastPort; first += blockSize {
		lock, err := os.OpenFile(filepath.Join(folder, fmt.Sprint(first)), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && free(first, first+blockSize) {
			return &ports{lock: lock, next: first, end: first + blockSize}, nil
		}
		_ = lock.Close()
	}
	return nil, fmt.Errorf("no %d free ports together between %d and %d", blockSize, firstPort, lastPort)
}

func free(from, to int) bool {
	for port := from; port < to; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}

// address gives the next one on loopback.
func (p *ports) address() string {
	if p.next == p.end {
		panic("more ports are used than a block has")
	}
	p.next++
	return fmt.Sprintf("127.0.0.1:%d", p.next-1)
}
