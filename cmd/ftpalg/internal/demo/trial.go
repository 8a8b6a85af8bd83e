package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// How long to wait for what should not come, and for what should.
const (
	impatience = 1500 * time.Millisecond
	patience   = 10 * time.Second
)

// trial is one way to transfer a file.
type trial struct {
	mode ftptest.Mode
	ipv6 bool
	port uint16 // where the client listens in active mode
}

// trials are all ways; PORT and PASV have no form for IPv6.
var trials = []trial{
	{ftptest.PORT, false, 10120},
	{ftptest.EPRT, false, 10121},
	{ftptest.EPRT, true, 10122},
	{ftptest.PASV, false, 0},
	{ftptest.EPSV, false, 0},
	{ftptest.EPSV, true, 0},
}

func (t trial) String() string { return fmt.Sprintf("%s %s %s", t.kind(), t.mode, t.family()) }

func (t trial) kind() string {
	if t.mode.Active() {
		return "active"
	}
	return "passive"
}

func (t trial) family() string {
	if t.ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// outcome is what became of a trial.
type outcome struct {
	sent, received string // the command or reply that names the data port
	port           uint16 // as received
	bytes          int64
	err            error
}

// try makes a transfer. The phase tells its session from others.
func (n *network) try(ctx context.Context, t trial, phase string) outcome {
	side, to := n.dial(t)
	c, err := ftptest.Dial(ctx, side.client, to)
	if err != nil {
		return outcome{err: err}
	}
	defer c.Close()
	c.ActivePort = t.port
	c.Timeout = patience
	if phase == "without" {
		c.Timeout = impatience
	}
	user := phase + " " + t.String()
	if err := c.Login(user, "demo"); err != nil {
		return outcome{err: err}
	}
	got, err := c.Get(t.mode, fileName)
	o := outcome{bytes: got.Bytes, err: explain(err, t, got)}
	if data, _ := side.server.File(fileName); err == nil && string(got.Data) != string(data) {
		o.err = fmt.Errorf("%d bytes came, and they are not those of the file", got.Bytes)
	}
	o.words(t, got, sessionOf(side.server, user))
	return o
}

// words notes what the two ends said and heard.
func (o *outcome) words(t trial, got ftptest.Transfer, seen ftptest.Session) {
	var heard netip.AddrPort
	switch t.mode {
	case ftptest.PORT:
		o.sent, o.received = got.Sent, seen.Last("PORT")
		heard, _ = ftptest.ParsePort(o.received)
	case ftptest.EPRT:
		o.sent, o.received = got.Sent, seen.Last("EPRT")
		heard, _ = ftptest.ParseExtended(trimVerb(o.received))
	case ftptest.PASV:
		o.sent, o.received = seen.LastReply("227"), got.Reply.String()
		heard = got.Endpoint
	case ftptest.EPSV:
		o.sent, o.received = seen.LastReply("229"), got.Reply.String()
		heard = got.Endpoint
	}
	o.port = heard.Port()
}

func trimVerb(line string) string { return line[min(len("EPRT "), len(line)):] }

func sessionOf(s *ftptest.Server, user string) ftptest.Session {
	for _, x := range s.Sessions() {
		if x.User == user {
			return x
		}
	}
	return ftptest.Session{}
}

// explain says in a few words why a transfer failed.
func explain(err error, t trial, got ftptest.Transfer) error {
	var negative *ftptest.ReplyError
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &negative) && negative.Reply.Code == 425 && t.mode.Active():
		return fmt.Errorf("the server cannot connect to %s (its reply is 425)", got.Endpoint)
	case errors.Is(err, unix.ENETUNREACH):
		return fmt.Errorf("the client has no route to %s", got.Endpoint)
	case errors.As(err, &network) && network.Timeout() && !t.mode.Active():
		return fmt.Errorf("the client gets no answer from %s", got.Endpoint)
	}
	return err
}
