package ftptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Data is a data connection that was agreed on.
type Data struct {
	Mode  Mode
	Sent  string // the command, without its line end
	Reply Reply  // to the command
	// Endpoint is where the connection goes to, as the client sees it: its own
	// in active mode, the server's in passive mode.
	Endpoint netip.AddrPort

	client   *Client
	listener net.Listener
	conn     net.Conn
}

// Open agrees on a data connection. In passive mode it is made at once, in
// active mode the server makes it later, see [Data.Conn]. The returned Data is
// valid, as far as it goes, also with an error.
func (c *Client) Open(m Mode) (*Data, error) {
	d := &Data{Mode: m, client: c}
	var err error
	if m.Active() {
		err = d.listen()
	} else {
		err = d.dial()
	}
	if err != nil {
		d.Close()
		return d, fmt.Errorf("opening a data connection by %s: %w", m, err)
	}
	return d, nil
}

func (d *Data) listen() error {
	c := d.client
	l, err := c.network.Listen("tcp", netip.AddrPortFrom(c.Local().Addr(), c.ActivePort).String())
	if err != nil {
		return fmt.Errorf("listening for the server: %w", err)
	}
	d.listener, d.Endpoint = l, addrPort(l.Addr())
	told := d.Endpoint
	if c.ActiveAddr.IsValid() {
		told = netip.AddrPortFrom(c.ActiveAddr, told.Port())
	}
	switch {
	case d.Mode == EPRT:
		d.Sent = "EPRT " + FormatExtended(told)
	case told.Addr().Is6():
		return fmt.Errorf("PORT has no form for IPv6 (%s)", told)
	default:
		d.Sent = "PORT " + FormatPort(told)
	}
	d.Reply, err = c.must(d.Sent)
	return err
}

func (d *Data) dial() (err error) {
	c := d.client
	d.Sent = string(d.Mode)
	if d.Reply, err = c.must(d.Sent); err != nil {
		return err
	}
	if d.Mode == PASV {
		d.Endpoint, err = ParsePort(d.Reply.Raw)
	} else {
		var port uint16
		port, err = Parse229(d.Reply.Raw)
		d.Endpoint = netip.AddrPortFrom(c.Remote().Addr(), port)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout())
	defer cancel()
	d.conn, err = c.network.Dial(ctx, netip.AddrPort{}, d.Endpoint)
	return err
}

// Conn returns the data connection. In active mode it waits for it.
func (d *Data) Conn() (net.Conn, error) {
	if d.conn != nil {
		return d.conn, nil
	}
	// In active mode the server connects while its reply is under way.
	timer := time.AfterFunc(d.client.timeout(), func() { d.listener.Close() })
	defer timer.Stop()
	defer context.AfterFunc(d.client.ctx, func() { d.listener.Close() })()
	conn, err := d.listener.Accept()
	if d.client.ctx.Err() != nil {
		return nil, d.client.ctx.Err()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil, fmt.Errorf("the server does not connect to %s: %w", d.Endpoint, context.DeadlineExceeded)
	}
	if err != nil {
		return nil, fmt.Errorf("accepting the data connection on %s: %w", d.Endpoint, err)
	}
	d.conn = conn
	return conn, nil
}

// Close closes what Open opened.
func (d *Data) Close() {
	if d.listener != nil {
		d.listener.Close()
	}
	if d.conn != nil {
		d.conn.Close()
	}
}

// connOrReply waits for the data connection or for the reply that there will
// be none, whichever comes first.
func (d *Data) connOrReply() (net.Conn, error) {
	if d.conn != nil {
		return d.conn, nil
	}
	c := d.client
	if err := c.conn.SetReadDeadline(c.deadline()); err != nil {
		return nil, fmt.Errorf("setting a deadline: %w", err)
	}
	early := make(chan error, 1)
	go func() {
		// Waits for a byte, and takes none.
		b, err := c.reader.Peek(1)
		if err == nil && b[0] >= '4' {
			d.listener.Close()
		}
		early <- err
	}()
	conn, err := d.Conn()
	_ = c.conn.SetReadDeadline(time.Now()) // the peek returns
	peek := <-early
	if err == nil {
		return conn, nil
	}
	if peek == nil {
		if r, reading := c.ReadReply(); reading == nil && !r.OK() {
			return nil, &ReplyError{r}
		}
	}
	return nil, err
}
