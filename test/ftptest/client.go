package ftptest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Client is an FTP client that does what it is told. It is for one goroutine.
type Client struct {
	// Timeout bounds each reply and each data connection; 0 is a minute.
	Timeout time.Duration
	// Wire is how commands are written.
	Wire Wire
	// ActivePort is where active mode listens; 0 lets the kernel choose.
	ActivePort uint16
	// ActiveAddr is the address in PORT and EPRT; the zero Addr stands for the
	// client's own.
	ActiveAddr netip.Addr

	ctx     context.Context
	network Network
	conn    net.Conn
	reader  *bufio.Reader
	replies []Reply
}

// Dial connects and reads the greeting. The connection ends when ctx is done;
// its deadline does not count for later replies. A nil network is the
// process's own.
func Dial(ctx context.Context, n Network, server netip.AddrPort) (*Client, error) {
	c := &Client{ctx: ctx, network: networkOf(n)}
	dialing, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	conn, err := c.network.Dial(dialing, netip.AddrPort{}, server)
	if err != nil {
		return nil, fmt.Errorf("connecting to FTP server %s: %w", server, err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	c.conn, c.reader = conn, bufio.NewReader(conn)
	greeting, err := c.ReadReply()
	if err == nil {
		err = greeting.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("reading the greeting of %s: %w", server, err)
	}
	return c, nil
}

// Close closes the control connection without QUIT.
func (c *Client) Close() error { return c.conn.Close() }

// Conn returns the control connection.
func (c *Client) Conn() net.Conn { return c.conn }

// Local and Remote return the ends of the control connection as the client
// sees them.
func (c *Client) Local() netip.AddrPort { return addrPort(c.conn.LocalAddr()) }

// Remote is the other end, see Local.
func (c *Client) Remote() netip.AddrPort { return addrPort(c.conn.RemoteAddr()) }

// Replies returns all replies so far, the greeting first.
func (c *Client) Replies() []Reply { return c.replies }

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return time.Minute
}

func (c *Client) deadline() time.Time { return time.Now().Add(c.timeout()) }

// Login sends USER and PASS.
func (c *Client) Login(user, password string) error {
	r, err := c.Cmd("USER " + user)
	if err == nil && r.Code == 331 {
		r, err = c.Cmd("PASS " + password)
	}
	if err == nil && r.Code != 230 {
		err = &ReplyError{r}
	}
	if err != nil {
		return fmt.Errorf("logging in as %s: %w", user, err)
	}
	return nil
}

// Cmd sends a command, given without its line end, and reads the reply. A
// negative reply is no error.
func (c *Client) Cmd(line string) (Reply, error) {
	if err := c.Write(c.Wire.end(line)); err != nil {
		return Reply{}, err
	}
	r, err := c.ReadReply()
	if err != nil {
		return r, fmt.Errorf("waiting for the reply to %q: %w", line, err)
	}
	return r, nil
}

// must is Cmd with a negative reply as an error.
func (c *Client) must(line string) (Reply, error) {
	r, err := c.Cmd(line)
	if err == nil && !r.OK() {
		err = fmt.Errorf("%s: %w", line, &ReplyError{r})
	}
	return r, err
}

// Write sends bytes as they are, in the segments of [Client.Wire].
func (c *Client) Write(b []byte) error { return c.WriteAs(c.Wire, b) }

// WriteAs is Write with other segments.
func (c *Client) WriteAs(w Wire, b []byte) error {
	if err := c.conn.SetWriteDeadline(c.deadline()); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	return w.write(c.conn, b)
}

// ReadReply reads one reply.
func (c *Client) ReadReply() (Reply, error) {
	if err := c.conn.SetReadDeadline(c.deadline()); err != nil {
		return Reply{}, fmt.Errorf("setting a deadline: %w", err)
	}
	var r Reply
	for {
		line, err := c.reader.ReadString('\n')
		r.Raw += line
		if err != nil {
			return r, fmt.Errorf("reading a reply (so far %q): %w", r.Raw, err)
		}
		if r.Code == 0 {
			if r.Code, err = replyCode(line); err != nil {
				return r, err
			}
		}
		if code, err := replyCode(line); err == nil && code == r.Code && line[3] != '-' {
			c.replies = append(c.replies, r)
			return r, nil
		}
	}
}

// Transfer is what became of a transfer.
type Transfer struct {
	Mode     Mode
	Sent     string // the command that agreed on the data connection
	Reply    Reply  // to that
	Endpoint netip.AddrPort
	// Local and Remote are the ends of the data connection as the client sees
	// them.
	Local, Remote netip.AddrPort
	Data          []byte // as received
	Bytes         int64  // received or sent
	SHA256        string // of the bytes received or sent
	Done          Reply  // the last reply
}

// Get retrieves a file.
func (c *Client) Get(m Mode, name string) (Transfer, error) {
	return c.Transfer(m, nil, "RETR "+name)
}

// GetFrom retrieves the rest of a file.
func (c *Client) GetFrom(m Mode, name string, offset int64) (Transfer, error) {
	return c.Transfer(m, nil, fmt.Sprintf("REST %d", offset), "RETR "+name)
}

// List lists the files.
func (c *Client) List(m Mode) (Transfer, error) { return c.Transfer(m, nil, "LIST") }

// Put stores a file.
func (c *Client) Put(m Mode, name string, data []byte) (Transfer, error) {
	return c.Transfer(m, data, "STOR "+name)
}

// Transfer agrees on a data connection, sends commands, of which the last one
// begins the transfer, and moves the data: upload if it is not nil, else what
// the server sends. The returned Transfer is valid, as far as it goes, also
// with an error.
func (c *Client) Transfer(m Mode, upload []byte, commands ...string) (Transfer, error) {
	d, err := c.Open(m)
	t := Transfer{Mode: m, Sent: d.Sent, Reply: d.Reply, Endpoint: d.Endpoint}
	if err != nil {
		return t, err
	}
	defer d.Close()
	for _, line := range commands {
		if _, err := c.must(line); err != nil {
			return t, err
		}
	}
	if err := c.move(d, &t, upload); err != nil {
		return t, err
	}
	if t.Done, err = c.ReadReply(); err != nil {
		return t, fmt.Errorf("waiting for the end of the transfer: %w", err)
	}
	return t, t.Done.Err()
}

// move waits for the data connection and uses it up. Should the server report
// its failure first, that is the error.
func (c *Client) move(d *Data, t *Transfer, upload []byte) error {
	conn, err := d.connOrReply()
	if err != nil {
		return err
	}
	defer conn.Close()
	t.Local, t.Remote = addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	var moved error
	if upload != nil {
		_, moved = conn.Write(upload)
		t.Bytes, t.SHA256 = int64(len(upload)), sum(upload)
	} else {
		t.Data, moved = io.ReadAll(&patient{conn, c})
		t.Bytes, t.SHA256 = int64(len(t.Data)), sum(t.Data)
	}
	if closing := conn.Close(); moved == nil {
		moved = closing
	}
	if moved != nil {
		return fmt.Errorf("moving data between %s and %s: %w", t.Local, t.Remote, moved)
	}
	return nil
}

// patient is a connection on which each read may take the client's timeout.
type patient struct {
	net.Conn
	client *Client
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(p.client.deadline()); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
