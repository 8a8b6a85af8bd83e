package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// supervisor is the service manager that started the program and wants to be told
// how it is: the one at the other end of NOTIFY_SOCKET (sd_notify(3)). If there is
// none, its methods do nothing.
type supervisor struct {
	log   *slog.Logger
	every time.Duration // between two signs of life; 0: there is no supervisor

	mu     sync.Mutex    // held by the loop that gives a sign of life
	last   atomic.Int64  // when it was given, nanoseconds since 1970
	turned []atomic.Bool // for each packet loop, that it did since the last sign of life
}

// statusEvery is how often the status is renewed where no watchdog wants it sooner.
const statusEvery = 10 * time.Second

func newSupervisor(log *slog.Logger) (*supervisor, error) {
	s := &supervisor{log: log, turned: make([]atomic.Bool, 1)}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return s, nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, fmt.Errorf("read WATCHDOG_USEC, which the service manager sets: %w", err)
	}
	s.every = statusEvery
	if watchdog > 0 {
		s.every = min(s.every, watchdog/2)
	}
	return s, nil
}

// loops tells how many packet loops there are.
func (s *supervisor) loops(n int) { s.turned = make([]atomic.Bool, n) }

// alive notes that a packet loop has turned. When all have since the last sign of life, it gives the
// next, so that one that hangs is noticed. The status is made when it is due.
func (s *supervisor) alive(loop int, now time.Time, status func() string) {
	if s.every == 0 {
		return
	}
	if !s.turned[loop].Load() {
		s.turned[loop].Store(true)
	}
	if now.UnixNano()-s.last.Load() < int64(s.every) || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	for i := range s.turned {
		if !s.turned[i].Load() {
			return
		}
	}
	for i := range s.turned {
		s.turned[i].Store(false)
	}
	s.last.Store(now.UnixNano())
	s.tell(daemon.SdNotifyWatchdog + "\nSTATUS=" + status())
}

// ready tells that packets are handled, or that a reload is over.
func (s *supervisor) ready(status string) { s.tell(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// reloading tells that the configuration is being read; ready ends it.
func (s *supervisor) reloading() {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		s.log.Error("read the clock", "error", err)
		return
	}
	s.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, t.Nano()/int64(time.Microsecond)))
}

func (s *supervisor) stopping() { s.tell(daemon.SdNotifyStopping) }

func (s *supervisor) tell(state string) {
	if s.every == 0 {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Error("tell the service manager", "error", err)
	}
}
