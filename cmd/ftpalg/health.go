package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// tellStatus tells how the program is. It is called by another goroutine than the packet loop's.
func (p *program) tellStatus(info build.Info) *api.Status {
	events, bytes := p.hears()
	stats := p.stats()
	s := &api.Status{
		Version: api.Version, Program: info.Version, Kernel: kernelRelease(),
		Uptime: time.Since(p.started).Seconds(), Ports: *p.served.Load(),
		Chosen: map[string]string{
			"helper": p.choice.Helper, "queue": p.queueNumbers(), "table": p.config.Table,
			"workers": strconv.Itoa(len(p.workers)),
			"events":  events, "bytes": bytes,
		},
		Counters: counters(stats),
		Checks: []api.Check{
			p.checkLoop(), p.checkQueue(), p.checkRules(), p.checkEvents(events), checkBytes(bytes),
			checkTable(), checkKernel(stats), checkLabels(stats), checkFates(stats), checkTransfers(p),
		},
	}
	if n := stats.Standby.Load(); n > 0 {
		s.Checks = append(s.Checks, checkStandby(n))
	}
	for _, c := range s.Checks {
		s.Health = max(s.Health, c.Level)
	}
	return s
}

func counters(s *alg.Stats) map[string]uint64 {
	c := map[string]uint64{
		"sessions": uint64(s.Sessions.Load()), "sessions_total": s.SessionsTotal.Load(),
		"standby":          uint64(s.Standby.Load()),
		"data_connections": uint64(s.Data.Load()),
	}
	for i := range s.Opened {
		c["opened"] += s.Opened[i].Load()
	}
	for i := range s.Refused {
		if n := s.Refused[i].Load(); n > 0 {
			c["refused."+policy.Reason(i).String()] = n
		}
	}
	for o := range fate.Outcomes {
		for m := range s.Fates {
			c[fate.Outcomes[o]] += s.Fates[m][o].Load()
		}
	}
	return c
}

// idStandby is the check's of the other gateway.
const idStandby = "standby"

// checkStandby tells of the sessions of another gateway of a pair.
func checkStandby(n int64) api.Check {
	return api.Check{ID: idStandby, Name: "the other gateway of a pair has sessions",
		Detail: fmt.Sprintf("standby: %d control connections replicated", n)}
}

// marked returns the check with a level above OK if bad.
func marked(c api.Check, bad bool, l api.Level, detail, remedy string) api.Check {
	if bad {
		c.Level, c.Detail, c.Remedy = l, detail, remedy
	}
	return c
}

// stuckAfter is when the packet loop is taken for stuck: it does what it is asked between two rounds.
const stuckAfter = 5 * time.Second

func (p *program) checkLoop() api.Check {
	turned := make(chan bool, len(p.workers))
	for _, w := range p.workers {
		go func() { turned <- w.loop.call(func() {}) }()
	}
	stuck, ok := time.After(stuckAfter), true
	for i := 0; ok && i < len(p.workers); i++ {
		select {
		case ok = <-turned:
		case <-stuck:
			ok = false
		}
	}
	return marked(api.Check{ID: "loop", Name: "packets are handled"}, !ok, api.Failing,
		fmt.Sprintf("a loop has not turned for %v", stuckAfter),
		"restart ftpalg, which costs no session, and report it")
}

func (p *program) checkQueue() api.Check {
	c := api.Check{ID: "queue", Name: "the netfilter queue is ours, and keeps up"}
	s, err := p.queueStats()
	if errors.Is(err, fs.ErrPermission) { // a container of another user than root
		c.Detail = "its counters are for root and its group alone, and are not read"
		return c
	}
	if err != nil {
		return marked(c, true, api.Failing, err.Error(),
			"restart ftpalg: without the queue packets pass it by")
	}
	c.Detail = fmt.Sprintf("%d packets wait", s.Waiting)
	lost := s.QueueDropped + s.UserDropped
	if passed, err := countUnseen(p); err == nil {
		lost += passed
	} else {
		lost += p.workers[0].loop.overruns.Load() // of all
	}
	return marked(c, lost > 0, api.Warning, fmt.Sprintf("%d packets passed unseen", lost),
		"give ftpalg more of the processor, or look for a flood on its ports")
}

func (p *program) checkRules() api.Check {
	c := api.Check{ID: "rules", Name: "the nftables table is in force"}
	if p.config.ExternalRules {
		c.Detail = "the operator has the rules"
		return c
	}
	found, _, err := p.rules.Verify()
	if err != nil {
		return marked(c, true, api.Warning, err.Error(), "run ftpalg check")
	}
	return marked(c, found != ruleset.Whole, api.Failing, "the table is "+found.String(),
		"find who changes the table "+p.config.Table+"; restart ftpalg to have it made again")
}

func (p *program) checkEvents(events string) api.Check {
	c := api.Check{ID: "events", Name: "the kernel tells what comes of open ports"}
	switch lost := p.eventsLost.Load(); {
	case events != "on":
		c = marked(c, true, api.Warning, "events are "+events,
			"set events: on and net.netfilter.nf_conntrack_events=2")
	case lost > 0:
		c = marked(c, true, api.Warning, fmt.Sprintf("events were lost %d times", lost),
			"give ftpalg more of the processor")
	}
	return c
}

func checkBytes(bytes string) api.Check {
	c := api.Check{ID: "bytes", Name: "the kernel counts the bytes of data connections"}
	if bytes != "on" {
		c.Detail, c.Remedy = "bytes are "+bytes, "set net.netfilter.nf_conntrack_acct=1 to have them counted"
	}
	return c
}

// checkTable looks at how full the kernel's table of connections is.
func checkTable() api.Check {
	c := api.Check{ID: "conntrack_table", Name: "the kernel's connection table has room"}
	n, err1 := sysctl("nf_conntrack_count")
	limit, err2 := sysctl("nf_conntrack_max")
	if err1 != nil || err2 != nil || limit == 0 {
		return c
	}
	c.Detail = fmt.Sprintf("%d of %d", n, limit)
	return marked(c, n*10 > limit*9, api.Warning, c.Detail, "raise net.netfilter.nf_conntrack_max")
}

// sysctl reads a number of connection tracking's.
func sysctl(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func checkKernel(s *alg.Stats) api.Check {
	n := s.KernelErrors.Load()
	return marked(api.Check{ID: "kernel", Name: "the kernel does what it is asked"}, n > 0, api.Warning,
		fmt.Sprintf("%d requests failed", n), "look for 'kernel error' in the log, and run ftpalg check")
}

func checkLabels(s *alg.Stats) api.Check {
	n := s.Wiped.Load()
	c := api.Check{ID: "labels", Name: "nobody else writes the labels of control connections"}
	return marked(c, n > 0, api.Warning, fmt.Sprintf("labels were overwritten %d times", n),
		"find the rule with 'ct label set', or another program that writes labels")
}

// checkFates compares the data connections that failed with those that worked.
func checkFates(s *alg.Stats) api.Check {
	c := api.Check{ID: "data", Name: "data connections come"}
	var failed, used uint64
	for m := range s.Fates {
		for o := range fate.Outcomes {
			switch n := s.Fates[m][o].Load(); {
			case fate.Outcome(o).Failed():
				failed += n
			case fate.Outcome(o) == fate.Used:
				used += n
			}
		}
	}
	c.Detail = fmt.Sprintf("%d came, %d did not", used, failed)
	return marked(c, failed > used, api.Warning, c.Detail,
		"look for 'data connection' with a likely cause in the log")
}
