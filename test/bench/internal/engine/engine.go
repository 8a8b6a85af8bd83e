package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/bench/internal/peer"
	"github.com/ftpalg/ftpalg/test/bench/internal/wire"
	"github.com/ftpalg/ftpalg/test/lab"
)

// Kind is what stands on the gateway.
type Kind uint8

const (
	Program Kind = iota
	Kernel
	Nothing
	Accept
)

// Config is how to start an engine.
type Config struct {
	Name    string // the column of the table
	Kind    Kind
	Binary  string   // of Program and Accept
	Dir     string   // for its configuration and log
	Env     []string // of the program, as "GOGC=10"
	Workers int      // of Program; 0: its own default
}

// Engine is one in its network.
type Engine struct {
	Config
	Net  *lab.Routed
	Wire *wire.Wire
	// Server is where the FTP server listens, and Other where another one does, on a port that is no FTP port
	// for any engine.
	Server, Other netip.AddrPort

	lab     *lab.Lab
	servers []*peer.Server
	process *lab.Cmd
}

// queue is the number of the queue, of Program and Accept alike.
const queue = 2121

// otherPort is that of the server that is no FTP server.
const otherPort = 8080

// patience is how long anything may take.
const patience = 10 * time.Second

// Start makes the network and starts the engine on its gateway.
func Start(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{Config: c}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Name, err), e.Close())
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context) (err error) {
	if e.lab, err = lab.New(); err != nil {
		return err
	}
	if e.Net, err = e.lab.ClientBehindNAT(); err != nil {
		return err
	}
	if err := e.tune(); err != nil {
		return err
	}
	if e.Wire, err = wire.New(e.Net); err != nil {
		return err
	}
	e.Server = e.Net.Server.AddrPort(false, lab.ControlPort)
	seen := e.Net.Outside.Addr(false) // how a server is to see the client's PORT
	if e.Opens() {
		e.Net.Rules.Forward.Accept = append(e.Net.Rules.Forward.Accept, lab.Accept{Port: otherPort})
		err = e.Net.SetRules()
	} else {
		seen = e.Net.Client.Addr(false)
		err = e.open()
	}
	if err != nil {
		return err
	}
	e.Other = e.Net.Server.AddrPort(false, otherPort)
	for _, at := range []netip.AddrPort{e.Server, e.Other} {
		s, err := peer.Serve(e.Net.Server, at, seen)
		if err != nil {
			return err
		}
		e.servers = append(e.servers, s)
	}
	return e.run(ctx)
}

// Opens tells whether the engine lets data connections in.
func (e *Engine) Opens() bool { return e.Kind == Program || e.Kind == Kernel }

// open makes a network in which FTP works without a gateway that understands it.
func (e *Engine) open() error {
	e.Net.Rules.Forward = nil
	return errors.Join(e.Net.SetRules(),
		e.Net.Server.Route(e.Net.Inside.Prefix(false).Masked(), e.Net.Outside.Addr(false)))
}

// tune lets ports be used again soon: the bench needs many.
func (e *Engine) tune() error {
	var errs []error
	for _, h := range []*lab.Host{e.Net.Client, e.Net.Server} {
		errs = append(errs, h.Sysctl("net.ipv4.ip_local_port_range", "32768 65535"),
			h.Sysctl("net.ipv4.tcp_tw_reuse", "1"))
	}
	for _, state := range []string{"time_wait", "close", "last_ack", "close_wait", "fin_wait"} {
		errs = append(errs, e.Net.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_"+state, "1"))
	}
	// The networks are bridges, whose packets the rules of a router do not concern.
	for _, family := range []string{"ip", "ip6"} {
		name := "net.bridge.bridge-nf-call-" + family + "tables"
		if err := e.Net.Gateway.Sysctl(name, "0"); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) run(ctx context.Context) error {
	switch e.Kind {
	case Kernel:
		return e.Net.Gateway.Do(func() error { return lab.KernelHelper(lab.ControlPort) })
	case Accept:
		return e.runAccept(ctx)
	case Program:
		return e.runProgram(ctx)
	}
	return nil
}

// runAccept has the program on the queue before the rules, as ftpalg does.
func (e *Engine) runAccept(ctx context.Context) error {
	if err := e.spawn(ctx, "ready", e.Binary, fmt.Sprint(queue)); err != nil {
		return err
	}
	return e.Net.Gateway.Do(func() error { return queueControl(lab.ControlPort, queue) })
}

// config lifts the limits: they are not what is measured.
const config = `queue: %d
metrics: {address: "127.0.0.1:9821"}
limits:
  sessions: 0
  open: 0
  new_per_minute: 0
  per_client: {sessions: 0, open: 0, new_per_minute: 0}
`

func (e *Engine) runProgram(ctx context.Context) error {
	text := fmt.Sprintf(config, queue)
	if e.Workers > 0 {
		text += fmt.Sprintf("workers: %d\n", e.Workers)
	}
	if strings.HasPrefix(e.Name, "F") { // another binary may be older than this setting
		text += fmt.Sprintf("socket: {path: %s}\n", filepath.Join(e.Dir, e.Name+".sock"))
	}
	file := filepath.Join(e.Dir, e.Name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing its configuration: %w", err)
	}
	return e.spawn(ctx, "msg=ready", e.Binary, "run", "--config", file)
}

// spawn starts a program on the gateway, with its output in a file, and waits until it writes the word.
func (e *Engine) spawn(ctx context.Context, word, name string, args ...string) error {
	path := filepath.Join(e.Dir, e.Name+".log")
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making its log: %w", err)
	}
	defer out.Close()
	cmd := e.Net.Gateway.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), e.Env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	e.process = cmd
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading its log: %w", err)
		}
		if strings.Contains(string(text), word) {
			return nil
		}
		if !e.alive() {
			return fmt.Errorf("it ended at once and wrote %q", text)
		}
	}
	return fmt.Errorf("it did not write %q within %v", word, patience)
}

// alive tells whether the process runs: one that has ended is a zombie until it is waited for.
func (e *Engine) alive() bool {
	s := state(fmt.Sprintf("/proc/%d/stat", e.process.Process.Pid))
	return s != 0 && s != 'Z'
}

// Pause stops the process, so that its queue fills, and returns when all its threads stand still.
func (e *Engine) Pause() error {
	if err := e.signal(unix.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(patience); !e.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s does not stop within %v", e.Name, patience)
		}
	}
	return nil
}

func (e *Engine) stopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", e.process.Process.Pid)) // well-formed
	for _, t := range threads {
		if state(t) != 'T' {
			return false
		}
	}
	return len(threads) > 0
}

// state is the letter that the kernel gives in a stat file; 0: it is gone.
func state(path string) byte {
	stat, err := os.ReadFile(path)
	if _, rest, ok := strings.Cut(string(stat), ") "); err == nil && ok {
		return rest[0]
	}
	return 0
}

// Continue lets a stopped process go on.
func (e *Engine) Continue() error { return e.signal(unix.SIGCONT) }

func (e *Engine) signal(s unix.Signal) error {
	if err := unix.Kill(e.process.Process.Pid, s); err != nil {
		return fmt.Errorf("sending %v to %s: %w", s, e.Name, err)
	}
	return nil
}

// Close ends the engine and removes its network.
func (e *Engine) Close() error {
	var errs []error
	for _, s := range e.servers {
		errs = append(errs, s.Close())
	}
	if e.Wire != nil {
		e.Wire.Close()
	}
	if e.lab != nil {
		errs = append(errs, e.lab.Close())
	}
	return errors.Join(errs...)
}
