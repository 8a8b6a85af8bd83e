package replay

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Bounds on what is kept of a dialogue.
const (
	maxText = 1024 // bytes of a line
	maxAsks = 64   // commands that wait for their reply
)

// exchange is what client and server say, as far as the report needs it: which command was for which
// channel and what the server said to it. It decides nothing.
type exchange struct {
	side    [2]side
	asks    []ask
	multi   int        // code of the multi-line reply under way; 0: none
	channel *Channel   // the last that was opened
	fresh   []*Channel // opened by the packet under way
}

// side is what one side sends.
type side struct {
	next  uint32 // sequence number of what comes next
	known bool
	line  []byte // the beginning of a line
	skip  bool   // up to the next line: its beginning is missing
}

// ask is a command that waits for its reply.
type ask struct {
	text    string
	verb    ftp.Verb
	channel *Channel // that it opened or used
}

// listen reads the packet that the gateway has just let go on.
func (re *replay) listen(c *Control, dir conntrack.Dir) {
	p, s := &re.engine.packet, &c.talk.side[dir]
	payload := p.Payload()
	if p.Flags()&rewrite.SYN != 0 {
		*s = side{next: p.Seq() + 1, known: true}
		return
	}
	if c.TLS || c.NotFTP || len(payload) == 0 {
		return
	}
	if !s.known {
		*s = side{next: p.Seq(), known: true}
	}
	switch ahead := int64(int32(p.Seq() - s.next)); { // so that it can be negated
	case ahead > 0:
		c.Gaps[dir]++
		s.line, s.skip = s.line[:0], true
	case -ahead >= int64(len(payload)):
		return // once more
	default:
		payload = payload[-ahead:]
	}
	s.next = p.Seq() + uint32(len(p.Payload()))
	re.lines(c, dir, payload)
	for _, ch := range c.talk.fresh {
		re.tellOpened(c, ch) // the line that asked for it was not found
	}
	c.talk.fresh = c.talk.fresh[:0]
}

// lines takes apart what is new from one side.
func (re *replay) lines(c *Control, dir conntrack.Dir, b []byte) {
	s := &c.talk.side[dir]
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		whole := n > 0
		if !whole {
			n = len(b)
		}
		s.line = append(s.line, b[:min(n, maxText-min(maxText, len(s.line)))]...)
		b = b[n:]
		if !whole {
			return
		}
		ln := s.line
		if skip := s.skip; !skip && dir == conntrack.Original {
			re.command(c, ln)
		} else if !skip {
			re.reply(c, ln)
		}
		s.line, s.skip = s.line[:0], false
	}
}

// command takes a line of the client.
func (re *replay) command(c *Control, ln []byte) {
	cmd, d := ftp.ParseCommand(ln), &c.talk
	if cmd.Verb == ftp.None {
		return
	}
	c.spoke = c.spoke || cmd.Verb != ftp.Other
	a := ask{verb: cmd.Verb}
	switch cmd.Verb {
	case ftp.Port, ftp.EPRT:
		a.channel = d.takeFresh(ln)
		if ch := a.channel; ch != nil {
			ch.Asked = text(ln)
			d.channel = ch
			re.tellOpened(c, ch)
		}
	case ftp.Pasv, ftp.CPSV, ftp.EPSV:
		a.text = text(ln)
	case ftp.Transfer:
		if ch := d.channel; ch != nil && ch.Command == "" {
			a.channel, ch.Command = ch, text(ln)
		}
	}
	if len(d.asks) >= maxAsks {
		d.asks = d.asks[:copy(d.asks, d.asks[1:])]
	}
	d.asks = append(d.asks, a)
}

// takeFresh returns the channel that a line has just opened; nil if it opened none.
func (d *exchange) takeFresh(ln []byte) *Channel {
	if len(d.fresh) == 0 || !bytes.Contains(ln, []byte(d.fresh[0].Was)) {
		return nil
	}
	ch := d.fresh[0]
	d.fresh = d.fresh[:copy(d.fresh, d.fresh[1:])]
	return ch
}

func (re *replay) tellOpened(c *Control, ch *Channel) {
	if re.observer.Opened != nil {
		re.observer.Opened(c, ch)
	}
}

// reply takes a line of the server.
func (re *replay) reply(c *Control, ln []byte) {
	d := &c.talk
	code, kind := ftp.ParseReply(ln)
	switch {
	case kind == ftp.NotReply, d.multi != 0 && (kind != ftp.Final || code != d.multi):
		return
	case kind == ftp.Opening:
		d.multi = code
		return
	}
	d.multi = 0
	said := Reply{Frame: re.engine.number, Code: code, Text: text(ln)}
	if code < 200 {
		if len(d.asks) > 0 && d.asks[0].channel != nil {
			d.asks[0].channel.Transfer = said
		}
		return
	}
	if code == 220 && !c.spoke {
		c.spoke = true
		return // the greeting answers no command
	}
	var a ask
	if len(d.asks) > 0 {
		a = d.asks[0]
		d.asks = d.asks[:copy(d.asks, d.asks[1:])]
	}
	switch ch := d.takeFresh(ln); {
	case ch != nil && (code == 227 || code == 229):
		ch.Asked, ch.Reply, d.channel = a.text, said, ch
		re.tellOpened(c, ch)
	case a.channel == nil:
	case a.verb == ftp.Transfer:
		a.channel.Transfer = said
		re.settleIfDone(a.channel)
	default:
		a.channel.Reply = said
		re.settleIfDone(a.channel)
	}
}

// text is a line without its end.
func text(ln []byte) string { return string(bytes.TrimRight(ln, "\r\n")) }

// isReply tells whether b begins like what an FTP server says.
func isReply(b []byte) bool {
	_, kind := ftp.ParseReply(b)
	return kind != ftp.NotReply
}

// isCommand tells whether b begins like what an FTP client says.
func isCommand(b []byte) bool {
	v := ftp.ParseCommand(b).Verb
	return v != ftp.None && v != ftp.Other && bytes.HasSuffix(b, []byte("\n"))
}
