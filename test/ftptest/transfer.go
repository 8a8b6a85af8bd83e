package ftptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// dialer opens an active data connection.
type dialer struct {
	session *session
	to      netip.AddrPort
}

func (d *dialer) open(ctx context.Context) (net.Conn, error) {
	n := networkOf(d.session.server.Network)
	from := d.session.seen.Local.Addr()
	if !d.session.server.AnyActivePort {
		c, err := n.Dial(ctx, netip.AddrPortFrom(from, 20), d.to)
		// Port 20 is for root, and a connection of this port to the same
		// endpoint may still be in TIME_WAIT.
		if err == nil || !isBindError(err) {
			return c, err
		}
	}
	return n.Dial(ctx, netip.AddrPortFrom(from, 0), d.to)
}

func isBindError(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EADDRINUSE) ||
		errors.Is(err, unix.EADDRNOTAVAIL)
}

func (*dialer) close() {}

// acceptor opens a passive data connection.
type acceptor struct {
	session  *session
	listener net.Listener
}

func (a *acceptor) open(ctx context.Context) (net.Conn, error) {
	defer context.AfterFunc(ctx, a.close)()
	c, err := a.listener.Accept()
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("no connection to %s: %w", a.listener.Addr(), ctx.Err())
	}
	return c, err
}

func (a *acceptor) close() { a.listener.Close() }

// transfer is a data connection at work.
type transfer struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// wait waits for the end of the transfer, if there is one.
func (x *session) wait() {
	if x.transfer != nil {
		<-x.transfer.done
		x.transfer = nil
	}
}

// abort answers ABOR.
func (x *session) abort() {
	if x.transfer != nil {
		x.transfer.cancel()
		x.wait()
	}
	x.reply("226 Abort successful.")
}

// begin answers a command that moves data, and returns while the data moves.
func (x *session) begin(verb, arg string, rest int64) {
	if x.data == nil {
		x.reply("425 Use PORT or PASV first.")
		return
	}
	move, err := x.mover(verb, arg, rest)
	if err != nil {
		x.reply("550 " + err.Error())
		return
	}
	o, mode := x.data, x.mode
	x.data = nil
	ctx, cancel := context.WithCancel(x.ctx)
	x.transfer = &transfer{cancel, make(chan struct{})}
	command := strings.TrimSpace(verb + " " + arg)
	x.reply("150 Opening the data connection for " + command + ".")
	go func() {
		defer close(x.transfer.done)
		defer cancel()
		defer o.close()
		x.reply(x.carry(ctx, o, DataConn{Mode: mode, Command: command}, move))
	}()
}

// mover moves bytes over a data connection and returns how many.
type mover func(net.Conn) (int64, error)

func (x *session) mover(verb, name string, rest int64) (mover, error) {
	s := x.server
	switch verb {
	case "STOR", "APPE":
		turn := s.turn()
		return func(c net.Conn) (int64, error) {
			data, err := io.ReadAll(c)
			old, _ := s.File(name)
			if verb == "STOR" {
				old = old[:min(rest, int64(len(old)))]
			}
			s.store(name, append(bytes.Clone(old), data...), turn)
			return int64(len(data)), err
		}, nil
	case "RETR":
		data, ok := s.File(name)
		if !ok {
			return nil, errors.New("failed to open file")
		}
		return sender(data[min(rest, int64(len(data))):]), nil
	}
	var list strings.Builder
	for _, n := range s.names() {
		if verb == "LIST" {
			data, _ := s.File(n)
			fmt.Fprintf(&list, "-rw-r--r--    1 ftp      ftp      %10d Jan 01 00:00 ", len(data))
		}
		list.WriteString(n + "\r\n")
	}
	return sender([]byte(list.String())), nil
}

func sender(data []byte) mover {
	return func(c net.Conn) (int64, error) {
		n, err := c.Write(data)
		return int64(n), err
	}
}

// carry opens the data connection, moves the data and returns the reply.
func (x *session) carry(ctx context.Context, o opener, seen DataConn, move mover) string {
	opening, cancel := context.WithTimeout(ctx, x.server.timeout())
	defer cancel()
	c, err := o.open(opening)
	if err != nil {
		return "425 Failed to establish connection: " + oneLine(err)
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	seen.Local, seen.Remote = addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
	seen.Bytes, err = move(c)
	if closing := c.Close(); err == nil {
		err = closing
	}
	x.record(func(s *Session) { s.Data = append(s.Data, seen) })
	if err != nil {
		return "426 Failure on the data connection: " + oneLine(err)
	}
	return "226 Transfer complete."
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
