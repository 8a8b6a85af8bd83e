package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	netnsDir   = "/run/netns"
	namePrefix = "ftpalg-"
)

// ErrNotRoot is returned by [New] to those who may not make namespaces.
var ErrNotRoot = errors.New("network namespaces need root; run it again with sudo")

// Lab is a set of hosts.
type Lab struct {
	name  string
	start chan func() // runs on the thread that is the parent of all processes

	mu     sync.Mutex
	hosts  []*Host
	cmds   []*Cmd
	closed bool
}

// New returns an empty lab. The caller must Close it.
func New() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	removeStale()
	var b [3]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("choosing a name for the lab: %w", err)
	}
	l := &Lab{
		name:  fmt.Sprintf("%s%d-%s-", namePrefix, os.Getpid(), hex.EncodeToString(b[:])),
		start: make(chan func()),
	}
	go l.parent()
	return l, nil
}

// TB is the part of [testing.TB] that [NewT] needs: programs use labs too, and
// need not link the testing package.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// NewT returns a lab that is closed when the test ends. Without root the test
// is skipped, or fails if FTPALG_REQUIRE_ROOT=1.
func NewT(t TB) *Lab {
	t.Helper()
	l, err := New()
	switch {
	case errors.Is(err, ErrNotRoot) && os.Getenv("FTPALG_REQUIRE_ROOT") != "1":
		t.Skipf("SKIPPED, NOT TESTED: %v (FTPALG_REQUIRE_ROOT=1 makes this a failure)", err)
	case err != nil:
		t.Fatalf("making a lab: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	return l
}

// Name returns what the names of all namespaces of the lab start with.
func (l *Lab) Name() string { return l.name }

// Host adds a host whose loopback device is up.
func (l *Lab) Host(name string) (*Host, error) {
	h, err := l.newHost(name)
	if err != nil {
		return nil, fmt.Errorf("making host %s: %w", name, err)
	}
	return h, nil
}

func (l *Lab) newHost(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	ns, err := newNamed(l.name + name)
	if err != nil {
		return nil, err
	}
	h := &Host{lab: l, name: name, ns: ns}
	l.hosts = append(l.hosts, h)
	return h, h.setUp()
}

// newNamed makes a namespace and returns to the one it came from.
func newNamed(name string) (netns.NsHandle, error) {
	if err := prepareNames(); err != nil {
		return netns.None(), err
	}
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), fmt.Errorf("reading the network namespace of this thread: %w", err)
	}
	defer origin.Close()
	ns, err := netns.NewNamed(name)
	if back := netns.Set(origin); back != nil {
		// The thread stays locked, so that it ends with its goroutine.
		return netns.None(), fmt.Errorf("returning from the new namespace: %w", back)
	}
	runtime.UnlockOSThread()
	if errors.Is(err, unix.EPERM) {
		return netns.None(), fmt.Errorf("CAP_SYS_ADMIN is missing (a container needs --privileged): %w", err)
	}
	return ns, err
}

// parent starts processes, all from one thread: a child that asks for a signal
// at its parent's death gets it when the thread dies that started it.
func (l *Lab) parent() {
	runtime.LockOSThread() // never unlocked: children may live as long as the lab
	for f := range l.start {
		f()
	}
}

// started runs f on the parent's thread inside the namespace of h.
func (l *Lab) started(h *Host, f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("the lab is closed")
	}
	done := make(chan error)
	// The thread returns: if it is the first of the program, others take its namespace for the program's.
	l.start <- func() { done <- h.Do(f) }
	return <-done
}

// Close ends all processes of the lab and removes its namespaces. Closing
// again does nothing.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for _, c := range l.cmds {
		c.kill()
	}
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.close())
	}
	for _, c := range l.cmds {
		_ = c.Wait() // killed: only reaps
	}
	close(l.start)
	return errors.Join(errs...)
}

// removeStale removes the namespaces of labs whose program is gone.
func removeStale() {
	paths, err := filepath.Glob(filepath.Join(netnsDir, namePrefix+"*-*-*"))
	if err != nil {
		return
	}
	for _, path := range paths {
		name := filepath.Base(path)
		pid, err := strconv.Atoi(strings.SplitN(name, "-", 3)[1])
		if err != nil || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		_ = unix.Unmount(path, unix.MNT_DETACH)
		_ = os.Remove(path)
	}
}
