package main

import (
	"slices"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
)

// reload reads the configuration again. What is wrong leaves the old one in force.
func (p *program) reload() {
	p.super.reloading()
	reopenTransfers(p) // also if the configuration is wrong: who sent the signal may have renamed it
	if p.guard != nil {
		if err := p.guard.Reload(); err != nil {
			p.log.Error("http.config_file is not reloaded, the old settings stay", "error", err)
		}
	}
	p.readAgain()
	p.super.ready(p.status())
}

func (p *program) readAgain() {
	c, err := p.sources.Load()
	if err != nil {
		p.log.Error("the configuration is not reloaded, the old one stays", "error", err)
		return
	}
	change := p.repairRules
	if !slices.Equal(c.Ports, p.config.Ports) {
		change = func() error { return p.installRules(c.Ports) }
	}
	if err := change(); err != nil {
		p.log.Error("the configuration is not reloaded, the old one stays", "error", err)
		return
	}
	if p.listener != nil {
		if err := p.listener.Filter(c.Ports, p.own...); err != nil {
			p.log.Error("events are told of the old ports only", "error", err)
		}
	}
	p.config.Ports, p.config.Policy, p.config.Policies = c.Ports, c.Policy, c.Policies
	p.served.Store(&c.Ports)
	for _, w := range p.workers {
		w.loop.call(func() { w.gateway.SetPolicy(c.Policy, c.Policies...) })
	}
	p.level.Set(c.Log.Level)
	p.log.Info("configuration reloaded", "ports", c.Ports)
	if keys := config.Fixed(p.config, c); len(keys) > 0 {
		p.log.Warn("changes that wait for a restart, which no session notices", "keys", keys)
	}
}
