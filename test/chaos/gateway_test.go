package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
	"github.com/ftpalg/ftpalg/test/pair"
)

// patience is how long the program may take to start, to end and to read its configuration.
const patience = 30 * time.Second

// gateway is the program on a host, started again when it was killed.
type gateway struct {
	*pair.Gateway
	t    testing.TB
	log  *os.File // of all its processes
	file string   // its configuration

	busy sync.Mutex // something is being done to the process
	now  *process
}

// process is one run of the program.
type process struct {
	*lab.Cmd
	ready chan bool
	again chan bool // the configuration was read, or not
	ended chan error
}

// newGateway starts the program on a host.
func newGateway(t testing.TB, host *pair.Gateway, logs string) *gateway {
	t.Helper()
	g := &gateway{Gateway: host, t: t, file: filepath.Join(host.Dir, "ftpalg.yaml")}
	var err error
	g.log, err = os.Create(filepath.Join(logs, host.String()+".log"))
	must(t, err)
	t.Cleanup(func() { _ = g.log.Close() })
	must(t, os.WriteFile(g.file, []byte(settings[0]), 0o644))
	g.now, err = g.start()
	must(t, err)
	return g
}

// start starts the program and waits until it is ready.
func (g *gateway) start(args ...string) (*process, error) {
	args = append([]string{"run", "--metrics-address", "", "--socket-path", "", "--config", g.file}, args...)
	p := &process{
		Cmd:   g.Command(context.Background(), program, args...),
		ready: make(chan bool, 1), again: make(chan bool, 1), ended: make(chan error, 1),
	}
	out, w := io.Pipe()
	p.Stdout, p.Stderr = w, w
	if err := p.Start(); err != nil {
		return nil, err
	}
	go p.read(out, g.log)
	go func() { p.ended <- p.Wait(); _ = w.Close() }()
	select {
	case <-p.ready:
		return p, nil
	case err := <-p.ended:
		return nil, fmt.Errorf("the program on %s ended at once: %v", g, err)
	case <-time.After(patience):
		return nil, fmt.Errorf("the program on %s is not ready", g)
	}
}

// read copies the log, and tells what is waited for.
func (p *process) read(from io.Reader, to io.Writer) {
	for s := bufio.NewScanner(from); s.Scan(); {
		fmt.Fprintf(to, "%s [%d] %s\n", time.Now().Format(clock), p.Process.Pid, s.Text())
		switch {
		case strings.Contains(s.Text(), "msg=ready"):
			told(p.ready, true)
		case strings.Contains(s.Text(), `msg="configuration reloaded"`):
			told(p.again, true)
		case strings.Contains(s.Text(), "the configuration is not reloaded"):
			told(p.again, false)
		}
	}
}

// told wakes who waits, and is forgotten if nobody does.
func told(c chan bool, what bool) {
	select {
	case c <- what:
	default:
	}
}

// end waits until the process has ended.
func (p *process) end() (err error, ok bool) {
	select {
	case err := <-p.ended:
		return err, true
	case <-time.After(patience):
		return nil, false
	}
}

// replace has another process take over, and tells what is wrong with that.
func (g *gateway) replace() error {
	next, err := g.start("--takeover")
	if err != nil {
		return err
	}
	former := g.now
	g.now = next
	if err, ok := former.end(); err != nil || !ok {
		return fmt.Errorf("the program on %s that was taken over from ended: %v, %v", g, ok, err)
	}
	return nil
}

// killed has the process killed, and another one started after a while.
func (g *gateway) killed(after time.Duration) error {
	_ = g.now.Process.Signal(unix.SIGKILL)
	if _, ok := g.now.end(); !ok {
		return fmt.Errorf("the program on %s outlives SIGKILL", g)
	}
	time.Sleep(after)
	next, err := g.start()
	if err == nil {
		g.now = next
	}
	return err
}

// frozen stops the process for a while.
func (g *gateway) frozen(d time.Duration) error {
	_ = g.now.Process.Signal(unix.SIGSTOP)
	time.Sleep(d)
	return g.now.Process.Signal(unix.SIGCONT)
}

// reload has it read other settings.
func (g *gateway) reload(yaml string) error {
	if err := os.WriteFile(g.file, []byte(yaml), 0o644); err != nil {
		return err
	}
	_ = g.now.Process.Signal(unix.SIGHUP)
	select {
	case ok := <-g.now.again:
		if !ok {
			return fmt.Errorf("the program on %s refuses %q", g, yaml)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the program on %s does not read its configuration", g)
	}
}
