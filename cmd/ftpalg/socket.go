package main

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
)

// serveSocket tells on the Unix socket what the program does. That it cannot be made is no reason not to
// run: a container may have no place for it.
func (p *program) serveSocket(info build.Info) {
	c := p.config.Socket
	if c.Path == "" {
		return
	}
	server := api.NewServer(api.Source{
		Sessions: p.tellSessions, Events: &p.hub,
		Status: func() *api.Status { return p.tellStatus(info) },
	})
	ended := make(chan struct{})
	p.undo = append(p.undo, func() error { close(ended); return server.Close() })
	l := p.listen()
	go func() {
		for tries := 0; l == nil && tries < socketTries; tries++ {
			select {
			case <-ended:
				return
			case <-time.After(socketEvery):
			}
			if l, _, _ = api.Listen(c.Path, c.Group); l != nil {
				p.log.Info("the socket is there now", "path", c.Path)
			}
		}
		if l != nil {
			_ = server.Serve(l) // ends with Close
		}
	}()
}

// A process that this one takes over from has the socket for a little longer.
const (
	socketEvery = time.Second
	socketTries = 60
)

// listen makes the socket, or says why not and returns nil.
func (p *program) listen() net.Listener {
	c := p.config.Socket
	l, groupErr, err := api.Listen(c.Path, c.Group)
	if err != nil {
		p.log.Warn("no socket for `ftpalg sessions`, `status` and `events`; socket.path in the "+
			"configuration names another place, or off", "path", c.Path, "error", err)
		return nil
	}
	if groupErr != nil {
		p.log.Warn("the socket is not given to its group: ftpalg must be in it, as by SupplementaryGroups= "+
			"of systemd", "path", c.Path, "group", c.Group, "error", groupErr)
	}
	return l
}

func (p *program) tellSessions(ctx context.Context) (*api.Sessions, error) {
	all := &api.Sessions{Version: api.Version, Sessions: []api.Session{}}
	for _, w := range p.workers {
		rows, at, err := w.snapshots.get(ctx)
		if err != nil {
			return nil, err
		}
		if all.Time.IsZero() || at.Before(all.Time) {
			all.Time = at
		}
		for i := range rows {
			all.Sessions = append(all.Sessions, toldSession(&rows[i], at))
		}
	}
	return all, nil
}

// kernelRelease is as uname -r tells.
func kernelRelease() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return string(text[:max(0, len(text)-1)])
}
