package main

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/probe"
	"github.com/ftpalg/ftpalg/conntrack/riding"
)

// worker has the control connections of one queue: the rules bring all packets of a connection to one of the
// workers. What it has is its own, but for the limits over all clients.
type worker struct {
	conn      *conntrack.Conn
	kernel    *riding.Kernel
	gateway   *alg.Gateway
	queue     *nfqueue.Queue
	journal   *journal
	events    *events // nil: they are off
	snapshots *snapshots
	loop      *loop
}

// coresAWorker: the kernel forwards what the workers answer, and needs as many cores as they.
const (
	coresAWorker = 2
	autoWorkers  = 8 // at most: by then the kernel is the slower part
)

// workersFor tells how many workers there are.
func workersFor(c config.Config, choice probe.Choice) int {
	switch {
	case !choice.Spread:
		return 1
	case c.Workers == config.WorkersAuto:
		return min(max(1, runtime.GOMAXPROCS(0)/coresAWorker), autoWorkers)
	}
	return c.Workers
}

// openWorkers makes the workers, but for their queues, and registers the helper.
func (p *program) openWorkers() error {
	n := workersFor(p.config, p.choice)
	if n < p.config.Workers {
		p.log.Warn("there is one worker: the rules of this kernel cannot share connections between several "+
			"(`ftpalg check` tells why)", "workers", p.config.Workers)
	}
	for i := range n {
		w, err := p.newWorker()
		if err != nil {
			return err
		}
		p.workers = append(p.workers, w)
		w.gateway.Share(p.workers[0].gateway, n)
		if i == 0 && p.choice.Helper == conntrack.HelperOwn {
			err := w.conn.RegisterHelper(conntrack.HelperOwn, ownExpectations, p.config.Policy.Timeout)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *program) newWorker() (*worker, error) {
	conn, err := conntrack.Dial()
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, conn.Close)
	k, j := riding.New(conn, p.choice.Helper), newJournal(p.logTo, p.config.Log.JSON, p.level)
	j.hub, j.names = &p.hub, p.config.Names
	g := alg.New(k, p.config.Policy, p.config.Policies...)
	g.Names = p.config.Names
	g.OnOpened, g.OnRefused = j.opened, j.refused
	g.Fates.OnFate = j.fate
	g.OnKernelError, g.OnAdopted = j.kernelError, j.adopted
	k.Refused = g.Refused
	k.Failed = func(doing string, err error) {
		g.Stats.KernelErrors.Add(1)
		j.kernelError(doing, err)
	}
	return &worker{conn: conn, kernel: k, gateway: g, journal: j}, nil
}

// makeLoops joins what handles packets.
func (p *program) makeLoops(m *metrics.Metrics) {
	p.super.loops(len(p.workers))
	for i, w := range p.workers {
		l := newLoop()
		l.gateway, l.queue, l.packets = w.gateway, w.queue, make([]nfqueue.Packet, batch)
		l.latency, l.overruns, l.lost, l.journal = m.Latency[i], &m.Overruns, &m.Lost, w.journal
		w.journal.ended = m.Ended
		w.snapshots = newSnapshots(w.queue.Wake)
		l.events, l.snapshots = w.events, w.snapshots
		l.idle = func() bool { return w.gateway.Idle() && p.super.every == 0 }
		l.alive = func(now time.Time) { p.super.alive(i, now, p.status) }
		w.loop = l
	}
}

func (p *program) loops() []*loop {
	var all []*loop
	for _, w := range p.workers {
		all = append(all, w.loop)
	}
	return all
}

// stats sums up what the workers count. Any goroutine may ask.
func (p *program) stats() *alg.Stats { return metrics.Sum(p.counts()) }

func (p *program) counts() []*alg.Stats {
	var all []*alg.Stats
	for _, w := range p.workers {
		all = append(all, &w.gateway.Stats)
	}
	return all
}

// queueStats sums up what the kernel tells of the queues.
func (p *program) queueStats() (sum nfqueue.Stats, err error) {
	for i := range p.workers {
		s, err := nfqueue.ReadStats(p.queueNumber + uint16(i))
		if err != nil {
			return sum, err
		}
		sum.Waiting += s.Waiting
		sum.QueueDropped += s.QueueDropped
		sum.UserDropped += s.UserDropped
	}
	return sum, nil
}

// queueNumbers are those of the workers, for people.
func (p *program) queueNumbers() string {
	first := strconv.Itoa(int(p.queueNumber))
	if len(p.workers) == 1 {
		return first
	}
	return fmt.Sprintf("%s-%d", first, int(p.queueNumber)+len(p.workers)-1)
}

// openQueues binds a queue for each worker, the first of that number.
func (p *program) openQueues(first uint16) error {
	var opened []*nfqueue.Queue
	for i := range p.workers {
		q, err := nfqueue.Open(nfqueue.Config{
			Queue: first + uint16(i), MaxLen: queueLen, ReadBuffer: readBuffer, Batch: batch,
			Zones: !p.config.Zones.None(),
		})
		if err != nil {
			for _, q := range opened {
				err = errors.Join(err, q.Close())
			}
			return err
		}
		opened = append(opened, q)
	}
	p.queueNumber = first
	for i, w := range p.workers {
		w.queue = opened[i]
		w.kernel.Out, w.queue.OnRefused = w.queue, w.kernel.OnRefused
		if !w.queue.Zoned() {
			w.gateway.SearchZones(p.config.Zones.Named)
		}
		p.undo = append(p.undo, w.queue.Close)
	}
	return checkZones(p)
}
