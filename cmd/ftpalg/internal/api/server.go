package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxClients is how many connections there may be at once. One more is closed at once.
const maxClients = 16

// Source is what is asked.
type Source struct {
	Sessions func(context.Context) (*Sessions, error)
	Status   func() *Status
	Events   *Hub
}

// NewServer returns the server of a source, for Serve with a listener of Listen.
func NewServer(s Source) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		all, err := s.Sessions(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, all)
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Status()) })
	mux.Handle("GET /v1/events", s.Events)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // else the client has gone
}

// Listen makes the socket at path, for its owner and a group; group "" is the process's own. A socket
// that nobody listens on any more is replaced. What cannot be done about the group is an error beside
// the listener.
func Listen(path, group string) (l net.Listener, groupErr, err error) {
	if err := removeStale(path); err != nil {
		return nil, nil, err
	}
	plain, err := net.Listen("unix", path)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, nil, errors.Join(err, plain.Close())
	}
	if group != "" {
		groupErr = giveTo(path, group)
	}
	return &limited{Listener: plain, free: make(chan struct{}, maxClients)}, groupErr, nil
}

// removeStale removes the socket of a program that was killed.
func removeStale(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("another program listens on %s", path)
	case errors.Is(err, unix.ECONNREFUSED):
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%s exists and is no socket", path)
		}
		return os.Remove(path)
	}
	return nil
}

func giveTo(path, group string) error {
	id, err := strconv.Atoi(group)
	if err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return err
		}
		if id, err = strconv.Atoi(g.Gid); err != nil {
			return err
		}
	}
	return os.Chown(path, -1, id)
}

// limited closes connections beyond maxClients.
type limited struct {
	net.Listener
	free chan struct{}
}

// Accept returns the next connection for which there is room.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &counted{Conn: c, gone: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			_ = c.Close()
		}
	}
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	gone func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
