package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// runAll runs each loop in a goroutine of its own until a signal comes or one of them
// fails, which ends all: whoever watches the program starts it anew, and no session is lost.
// SIGHUP calls reload. When it returns no loop runs.
func runAll(signals <-chan os.Signal, reload func(), loops ...*loop) error {
	ended := make(chan error, len(loops))
	for _, l := range loops {
		go func() { ended <- l.run() }()
	}
	err, running := error(nil), len(loops)
	for stop := false; !stop; {
		select {
		case s := <-signals:
			if s == unix.SIGHUP {
				reload()
			} else {
				stop = true
			}
		case err = <-ended:
			running--
			stop = true
		}
	}
	for _, l := range loops {
		l.stop()
	}
	for range running {
		err = errors.Join(err, <-ended)
	}
	return err
}
