package transfers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/alg"
)

// Stdout stands for the standard output in place of a file.
const Stdout = "stdout"

const (
	waitingMost = 4096        // transfers that wait to be written
	lastWords   = time.Second // how long Close waits for them
	block       = 64 << 10    // bytes written at once
)

// Log is the log of transfers. Its methods may be called from any goroutine.
type Log struct {
	Written, Lost atomic.Uint64 // transfers
	failed        func(error)   // hears of the first failure, and of the first after one that did not fail

	path    string
	waiting chan *alg.Transfer
	done    chan struct{}

	mu      sync.Mutex // held while a block is written
	out     io.Writer
	file    *os.File // out, if it is a file that is ours
	failing bool
	torn    bool // the last line is not whole
}

// Open opens or makes the file at path, to which lines are appended; Stdout: the standard output. failed is
// told that lines cannot be written, once until it works again; it must not wait.
func Open(path string, failed func(error)) (*Log, error) {
	l := &Log{
		path: path, failed: failed,
		waiting: make(chan *alg.Transfer, waitingMost), done: make(chan struct{}),
	}
	if path == Stdout {
		l.out = os.Stdout
	} else if err := l.Reopen(); err != nil {
		return nil, err
	}
	go l.run()
	return l, nil
}

// Reopen opens the file anew, for one that has been renamed. If that fails the old one stays.
func (l *Log) Reopen() error {
	if l.path == Stdout {
		return nil
	}
	f, err := openRegular(l.path)
	if err != nil {
		return fmt.Errorf("open the log of transfers: %w; log.transfers in the configuration names "+
			"another file, which ftpalg may write, or stdout or off", err)
	}
	l.mu.Lock()
	old := l.file
	l.out, l.file, l.torn = f, f, false
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// openRegular opens a file that no reader can keep us waiting for.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Put has a transfer written, which must not be changed any more. It never waits.
func (l *Log) Put(t *alg.Transfer) {
	select {
	case l.waiting <- t:
	default:
		l.Lost.Add(1)
	}
}

// Close writes what waits, but does not wait for ever, and closes the file. Nothing may be put in any more.
func (l *Log) Close() error {
	close(l.waiting)
	select {
	case <-l.done:
	case <-time.After(lastWords):
		return fmt.Errorf("the log of transfers is not written to its end: nobody reads %s", l.path)
	}
	if l.file != nil {
		return l.file.Close()
	}
	return nil
}

// run writes until the log is closed. What waits is written at once, as far as it fits into a block.
func (l *Log) run() {
	defer close(l.done)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for t := range l.waiting {
		n := uint64(0)
		for more := true; more && t != nil; {
			if write(enc, t) == nil {
				n++
			} else {
				l.Lost.Add(1)
			}
			if more = b.Len() < block; more {
				t = l.next()
			}
		}
		l.flush(b.Bytes(), n)
		b.Reset()
	}
}

// next returns a transfer if one waits.
func (l *Log) next() *alg.Transfer {
	select {
	case t := <-l.waiting:
		return t
	default:
		return nil
	}
}

func (l *Log) flush(b []byte, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn {
		b = append([]byte{'\n'}, b...)
	}
	wrote, err := l.out.Write(b)
	if err == nil {
		l.failing, l.torn = false, false
		l.Written.Add(n)
		return
	}
	l.Lost.Add(n) // some of them may be there
	l.torn = l.torn || wrote > 0
	if !l.failing {
		l.failing = true
		l.failed(err)
	}
}
