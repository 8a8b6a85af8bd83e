package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waitDelay bounds how long output is read after a program has ended, since
// its children may hold the pipe open.
const waitDelay = 2 * time.Second

// killPatience is how long a host's processes may take to end, all together.
const killPatience = 10 * time.Second

// Cmd is a program on a host. Its methods shadow those of [exec.Cmd] that
// start a process.
type Cmd struct {
	*exec.Cmd
	host *Host

	waitOnce sync.Once
	waitErr  error
	ended    atomic.Bool
}

// Command is like [exec.CommandContext] for a program that runs on the host.
// It runs in a process group of its own, which is killed as a whole when ctx
// is done or the lab is closed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), host: h}
	c.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
	c.WaitDelay = waitDelay
	return c
}

// Start starts the program.
func (c *Cmd) Start() error {
	l := c.host.lab
	return l.started(c.host, func() error {
		if err := c.Cmd.Start(); err != nil {
			return fmt.Errorf("starting %s on host %s: %w", c.Path, c.host.name, err)
		}
		l.cmds = append(l.cmds, c)
		return nil
	})
}

// Wait waits for the end of the program. It may be called more than once.
func (c *Cmd) Wait() error {
	c.waitOnce.Do(func() {
		c.waitErr = c.Cmd.Wait()
		c.ended.Store(true)
	})
	return c.waitErr
}

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to standard output.
func (c *Cmd) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns all that it wrote.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// kill kills the program and what it started, unless somebody has already
// waited for it: its number may be another's by now.
func (c *Cmd) kill() {
	if !c.ended.Load() {
		_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
	}
}

// killAll kills every process in the namespace, also those that left their
// process group, as daemons do.
func (h *Host) killAll() error {
	for deadline := time.Now().Add(killPatience); ; {
		pids := h.processes()
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := killAndAwait(pid, time.Until(deadline)); err != nil {
				return fmt.Errorf("killing process %d on host %s: %w", pid, h.name, err)
			}
		}
	}
}

// killAndAwait kills a process and waits for its end.
func killAndAwait(pid int, patience time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for end := time.Now().Add(patience); ; {
		wait := max(0, int(time.Until(end).Milliseconds()))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, wait)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("it does not end within %s", patience)
		default:
			return nil
		}
	}
}

// processes lists the processes in the namespace, except this one.
func (h *Host) processes() []int {
	var own unix.Stat_t
	if err := unix.Fstat(int(h.ns), &own); err != nil {
		return nil
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net") // the pattern is well-formed
	var pids []int
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Dev == own.Dev && st.Ino == own.Ino {
			pids = append(pids, pid)
		}
	}
	return pids
}
