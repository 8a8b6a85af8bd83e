package main

import (
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/transfers"
)

// openTransfers opens the log of transfers, if there is to be one.
func openTransfers(p *program, m *metrics.Metrics) error {
	m.Transfers(func() uint64 {
		if p.transfers == nil {
			return 0
		}
		return p.transfers.Written.Load()
	}, func() uint64 { return unlogged(p) })
	if p.config.Log.Transfers == "" {
		return nil
	}
	l, err := transfers.Open(p.config.Log.Transfers, func(err error) {
		p.log.Error("transfers are missing in their log; ftpalg_transfers_unlogged_total counts",
			"error", err)
	})
	if err != nil {
		return err
	}
	p.transfers = l
	for _, w := range p.workers {
		w.gateway.OnTransfer = l.Put
	}
	p.undo = append(p.undo, l.Close)
	return nil
}

// reopenTransfers has the log of transfers go on in a new file, if the old one was renamed.
func reopenTransfers(p *program) {
	if p.transfers == nil {
		return
	}
	if err := p.transfers.Reopen(); err != nil {
		p.log.Error("the log of transfers goes on in the old file", "error", err)
	}
}

// unlogged is how many transfers are missing in their log.
func unlogged(p *program) uint64 {
	if p.transfers == nil {
		return 0
	}
	return p.transfers.Lost.Load() + p.stats().Unlogged.Load()
}

func checkTransfers(p *program) api.Check {
	c := api.Check{ID: "transfers", Name: "transfers are logged"}
	if p.transfers == nil {
		c.Detail = "log.transfers is off"
		return c
	}
	return marked(c, unlogged(p) > 0, api.Warning, "some are missing in "+p.config.Log.Transfers,
		"look for a full or slow disk, or a reader of the standard output that is too slow")
}
