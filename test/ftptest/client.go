package ftptest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Client is an FTP client that does what it is told. It is for one goroutine.
type Client struct {
	// Timeout bounds each reply and each data connection; 0 is 10 s.
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

// Reply is a reply of the server, which may have several lines.
type Reply struct {
	Code int
	Raw  string // as received, with line ends
}

// String returns the reply without its last line end.
func (r Reply) String() string { return strings.TrimRight(r.Raw, "\r\n") }

// OK tells whether the reply is positive.
func (r Reply) OK() bool { return r.Code >= 100 && r.Code < 400 }

// Err returns nil for a positive reply.
func (r Reply) Err() error {
	if r.OK() {
		return nil
	}
	return &ReplyError{r}
}

// ReplyError is a negative reply.
type ReplyError struct{ Reply Reply }

func (e *ReplyError) Error() string { return "the server replied: " + e.Reply.String() }

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
	return 10 * time.Second
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

func replyCode(line string) (int, error) {
	if len(line) < 4 {
		return 0, fmt.Errorf("%q is not a reply", line)
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 100 || !strings.ContainsRune(" -\r\n", rune(line[3])) {
		return 0, fmt.Errorf("%q is not a reply", line)
	}
	return code, nil
}

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
