package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// ready is what the gateway program logs when it is.
const ready = "msg=ready"

// program is the running gateway program.
type program struct {
	cmd   *lab.Cmd
	log   *log
	ended chan struct{} // closed after its end
}

// startProgram starts the gateway program and waits until it is ready.
func startProgram(ctx context.Context, h *lab.Host, command []string) (*program, error) {
	p := &program{
		cmd:   h.Command(ctx, command[0], command[1:]...),
		log:   &log{ready: make(chan struct{})},
		ended: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the gateway program: %w", err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // stop asks again
	}()
	select {
	case <-p.log.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("the gateway program ended before it was ready (%w)\n%s", p.end(), p.logged())
	case <-time.After(patience):
		err := fmt.Errorf("the gateway program did not log %q within %s\n%s", ready, patience, p.logged())
		return nil, errors.Join(err, p.stop())
	}
}

// stop asks the program to end, and ends it if it does not.
func (p *program) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the gateway program ended early: %w", p.end())
	default:
	}
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("stopping the gateway program: %w", err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		err := fmt.Errorf("the gateway program did not end within %s of SIGTERM", patience)
		return errors.Join(err, p.cmd.Process.Kill())
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the gateway program ended with an error: %w", err)
	}
	return nil
}

// end says how the program ended of itself.
func (p *program) end() error {
	if err := p.cmd.Wait(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

func (p *program) logged() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	text := strings.TrimSpace(p.log.text.String())
	if text == "" {
		return "It logged nothing."
	}
	return "It logged:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// log keeps what the program writes and looks for the word.
type log struct {
	ready chan struct{} // closed at the word

	mu   sync.Mutex
	text bytes.Buffer
	seen bool
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if !l.seen && bytes.Contains(l.text.Bytes(), []byte(ready)) {
		l.seen = true
		close(l.ready)
	}
	return len(b), nil
}
