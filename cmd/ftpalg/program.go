package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

const (
	// queueLen is how many packets may wait. Control connections are slow.
	queueLen = 8192
	// readBuffer must hold them in the kernel's accounting, or they pass unseen.
	readBuffer = 16 << 20
	// batch is how many packets are taken at once.
	batch = 64
	// ownExpectations of the helper that is registered: one in use and one that
	// takes its place, for each control connection.
	ownExpectations = 2
)

// program is the running gateway with all that it holds.
type program struct {
	sources config.Sources
	config  config.Config
	choice  probe.Choice
	signals chan os.Signal

	conn    *conntrack.Conn
	kernel  *inOrder
	gateway *alg.Gateway
	queue   *nfqueue.Queue
	log     *slog.Logger
	level   *slog.LevelVar
	journal *journal
	loop    *loop
	super   *supervisor
	events  *events // nil: they are off

	snapshots  *snapshots
	started    time.Time
	served     atomic.Pointer[[]uint16] // the ports, for other goroutines
	eventsLost *atomic.Uint64

	rulesIn bool           // the table is in force and ours to remove
	undo    []func() error // what ends the program, the last first
}

// start does everything up to the first packet. If it fails it leaves nothing behind.
func start(src config.Sources, logTo io.Writer) (*program, error) {
	c, err := src.Load()
	if err != nil {
		return nil, err
	}
	p := &program{sources: src, config: c, level: &slog.LevelVar{}}
	p.level.Set(c.Log.Level)
	p.log = newLogger(logTo, c.Log.JSON, p.level)
	p.journal = newJournal(logTo, c.Log.JSON, p.level)
	if p.super, err = newSupervisor(p.log); err != nil {
		return nil, err
	}
	if err := p.setUp(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *program) setUp() error {
	p.catchSignals()
	if err := p.choose(); err != nil {
		return err
	}
	if err := p.openConntrack(); err != nil {
		return err
	}
	if err := p.openQueue(); err != nil {
		return err
	}
	info := build.Read(version)
	m := metrics.New(&p.gateway.Stats, p.queueStats, info)
	p.journal.ended, p.eventsLost = m.Ended, &m.EventsLost
	ports := p.config.Ports
	p.served.Store(&ports)
	if err := p.openEvents(); err != nil {
		return err
	}
	if err := p.serveMetrics(m); err != nil {
		return err
	}
	p.loop = newLoop()
	p.loop.gateway, p.loop.queue, p.loop.packets = p.gateway, p.queue, make([]nfqueue.Packet, batch)
	p.loop.latency, p.loop.overruns, p.loop.lost, p.loop.journal = m.Latency, &m.Overruns, &m.Lost, p.journal
	p.snapshots = newSnapshots(p.queue.Wake)
	p.loop.events, p.loop.snapshots = p.events, p.snapshots
	p.loop.idle = func() bool { return p.gateway.Idle() && p.super.every == 0 }
	p.loop.alive = func(now time.Time) { p.super.alive(now, p.status) }
	p.kernel.flush = p.loop.flush
	// The rules come when there is a program on the queue.
	p.undo = append(p.undo, p.removeRules)
	if err := p.installRules(p.config.Ports); err != nil {
		return err
	}
	p.logReady(info)
	p.serveSocket(info)
	p.super.ready(p.status())
	return nil
}

// choose finds out how the job is done on this kernel.
func (p *program) choose() error {
	choice, err := probe.Choose(probe.Run(probe.Options{Queue: p.config.Queue}))
	if err != nil {
		return err
	}
	if p.config.Helper != config.HelperAuto {
		choice.Helper = p.config.Helper
	}
	p.choice = choice
	return nil
}

// openConntrack registers the helper and takes over what an earlier process left.
func (p *program) openConntrack() error {
	conn, err := conntrack.Dial()
	if err != nil {
		return err
	}
	p.undo = append(p.undo, conn.Close)
	p.conn = conn
	if p.choice.Helper == conntrack.HelperOwn {
		if err := conn.RegisterHelper(conntrack.HelperOwn, ownExpectations, p.config.Policy.Timeout); err != nil {
			return err
		}
	}
	p.kernel = &inOrder{kernel: conn}
	p.gateway = alg.New(p.kernel, p.config.Policy, p.config.Policies...)
	p.gateway.Names = p.config.Names
	p.gateway.OnOpened = p.journal.opened
	p.gateway.OnRefused = p.journal.refused
	p.gateway.OnFate = p.journal.fate
	p.gateway.OnKernelError = p.journal.kernelError
	left, err := conn.Expectations()
	if err != nil {
		return err
	}
	p.gateway.Adopt(left)
	return nil
}

func (p *program) openQueue() error {
	q, err := nfqueue.Open(nfqueue.Config{Queue: p.config.Queue, MaxLen: queueLen, ReadBuffer: readBuffer, Batch: batch})
	if errors.Is(err, nfqueue.ErrBound) {
		return fmt.Errorf("%w (the number is set by --queue, FTPALG_QUEUE or queue in the configuration; is ftpalg running already?)", err)
	}
	if err != nil {
		return err
	}
	p.queue = q
	p.undo = append(p.undo, q.Close)
	return nil
}

func (p *program) queueStats() (nfqueue.Stats, error) { return nfqueue.ReadStats(p.config.Queue) }

// installRules makes the table, or puts another in its place.
func (p *program) installRules(ports []uint16) error {
	if p.config.ExternalRules {
		return nil
	}
	if err := ruleset.Install(rulesFor(p.config, p.choice, ports)); err != nil {
		return err
	}
	p.rulesIn = true
	return nil
}

func (p *program) removeRules() error {
	if !p.rulesIn {
		return nil
	}
	p.rulesIn = false
	return ruleset.Remove(p.config.Table)
}

func rulesFor(c config.Config, choice probe.Choice, ports []uint16) ruleset.Config {
	return ruleset.Config{
		Table: c.Table, Ports: ports, Queue: c.Queue, Helper: choice.Helper,
		NativeQueue: choice.NativeQueue, InnerHeader: choice.InnerHeader,
	}
}

const (
	// drainQuiet is for how long no packet may come before the queue is closed. Rules
	// that are removed still queue what is passing through them just now.
	drainQuiet = 5 * time.Millisecond
	drainMost  = time.Second
)

// serve handles packets until a signal ends it.
func (p *program) serve() error {
	err := runAll(p.signals, p.reload, p.loop)
	p.super.stopping()
	// First the rules, then the queue: what comes in between would be lost.
	err = errors.Join(err, p.removeRules())
	if err == nil {
		err = p.loop.drain(drainQuiet, drainMost)
	}
	err = errors.Join(err, p.close())
	p.log.Info("stopped")
	return err
}

// close gives back everything.
func (p *program) close() error {
	var errs []error
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i]())
	}
	return errors.Join(errs...)
}

// logReady says what was chosen, in the first line of the log.
func (p *program) logReady(info build.Info) {
	queueing, helper, rules := "xt", "carrier", "managed"
	if p.choice.NativeQueue {
		queueing = "native"
	}
	if p.choice.Helper == conntrack.HelperOwn {
		helper = "own"
	}
	if p.config.ExternalRules {
		rules = "external"
	}
	events, bytes := p.hears()
	p.log.Info("ready", "version", info.Version, "ports", p.config.Ports, "queue", p.config.Queue,
		"queueing", queueing, "helper", p.choice.Helper, "helper_kind", helper,
		"pure_acks", !p.choice.InnerHeader, "rules", rules, "table", p.config.Table,
		"metrics", p.config.Metrics.Address, "events", events, "bytes", bytes)
}
