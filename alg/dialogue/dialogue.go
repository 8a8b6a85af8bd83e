package dialogue

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Memory is what of a dialogue must outlive the program. The bits have their places for ever; 0, 1
// and 10 belong to others.
type Memory uint16

const (
	Opaque       Memory = 1 << 2  // TLS or not FTP at all: nothing of it is read
	LoggedIn     Memory = 1 << 3  // the server accepted the login
	EPSVAll      Memory = 1 << 4  // the client sent EPSV ALL (RFC 2428 section 4)
	AskedPassive Memory = 1 << 5  // a PASV or EPSV waits for its reply
	MidCommand   Memory = 1 << 6  // the client's last byte was not the end of a line
	MidReply     Memory = 1 << 7  // the server's last byte was not the end of a line
	NotFTP       Memory = 1 << 8  // the client spoke another protocol: nothing opens any more
	Greeted      Memory = 1 << 9  // the server greeted
	LoggingIn    Memory = 1 << 11 // USER, PASS or ACCT waits for its outcome
)

// Dialogue is one control connection.
type Dialogue struct {
	ends     ends
	memory   Memory // without the bits that are computed
	doorAsk  uint32 // number of the command that opened the door
	waived   uint32 // number of the last command whose reply nothing waits for
	lag      uint32 // how many replies may be missing since
	multi    uint16 // code of the multi-line reply under way; 0: none
	side     [2]side
	running  bool // its beginning was not seen
	welcomed bool // the server's first reply was seen, or was before what was
	answered bool // the client said something after the greeting
	bareLF   bool // the last command ended in a line feed alone
	over     bool // 221 or 421 was sent, or the connection ends
	ended    bool // the connection ends
	barred   bool // the line under way opens nothing: see line

	policy *policy.Policy
	asks   asks
	line   [2]*line       // of each side, the one that came in pieces and has not ended; nil: none
	tls    *[2]tlsRecords // nil: none was looked at
}

// side is what is kept of one end's bytes.
type side struct {
	skip   bool // a line is under way that began before we looked: nothing until its end counts
	join   bool // the next byte need not follow on the last
	atLine bool // but a line may start with it
}

// New returns the dialogue of a connection of which an earlier process left m. running tells that its
// beginning was not seen.
func New(e Endpoints, p *policy.Policy, m Memory, running bool) Dialogue {
	d := Dialogue{
		ends: pack(&e), policy: p, memory: m &^ (AskedPassive | MidCommand | MidReply), running: running,
	}
	d.welcomed = m&Greeted != 0
	d.answered = m&(LoggedIn|LoggingIn) != 0
	if m&AskedPassive != 0 {
		d.asks.push(ftp.Pasv)
		d.waive() // the command may come again
	}
	if running && p.TrustRunning {
		d.memory |= Greeted | LoggedIn
		d.welcomed, d.answered = true, true
	}
	return d
}

// SetPolicy changes the policy for what comes.
func (d *Dialogue) SetPolicy(p *policy.Policy) { d.policy = p }

// Policy returns the policy for what comes.
func (d *Dialogue) Policy() *policy.Policy { return d.policy }

// Endpoints returns the addresses.
func (d *Dialogue) Endpoints() Endpoints { return d.ends.unpack() }

// From tells which side sends the packets of a tuple; ok is false if it is neither.
func (d *Dialogue) From(t Tuple) (from Side, ok bool) {
	switch t {
	case d.ends.from[Client]:
		return Client, true
	case d.ends.from[Server]:
		return Server, true
	}
	return 0, false
}

// Over tells whether the session has ended for the server, or as a connection.
func (d *Dialogue) Over() bool { return d.over || d.ended }

// Opaque tells whether nothing of it is to be read.
func (d *Dialogue) Opaque() bool { return d.has(Opaque) }

// NotFTP tells whether the client spoke another protocol.
func (d *Dialogue) NotFTP() bool { return d.has(NotFTP) }

// Answered tells whether the server greeted and the client has said something since.
func (d *Dialogue) Answered() bool { return d.answered }

// Memory returns what must be remembered.
func (d *Dialogue) Memory() Memory {
	m := d.memory
	if d.asks.passive() {
		m |= AskedPassive
	}
	if d.midLine(Client) {
		m |= MidCommand
	}
	if d.midLine(Server) {
		m |= MidReply
	}
	return m
}

// midLine tells whether a line of a side has begun and not ended.
func (d *Dialogue) midLine(from Side) bool { return d.side[from].skip || d.line[from] != nil }

func (d *Dialogue) has(b Memory) bool { return d.memory&b != 0 }

func (d *Dialogue) set(b Memory, on bool) {
	if on {
		d.memory |= b
	} else {
		d.memory &^= b
	}
}

// Undecided tells whether a line of a side has begun that may be edited yet, or is being.
func (d *Dialogue) Undecided(from Side) bool {
	l := d.line[from]
	switch {
	case l == nil:
		return false
	case l.mode != undecided:
		return l.mode != pass
	case from == Server:
		return bytes.HasPrefix(l.buf, []byte("227")) || bytes.HasPrefix(l.buf, []byte("229"))
	}
	n := min(len(l.buf), len("PORT"))
	return bytes.EqualFold(l.buf[:n], []byte("PORT")[:n]) || bytes.EqualFold(l.buf[:n], []byte("EPRT")[:n])
}

// Edits tells whether something may be edited in what a side says next, data, that changes its length.
func (d *Dialogue) Edits(from Side, data []byte) bool {
	if from == Server {
		return d.asks.passive()
	}
	for ln := range bytes.Lines(data) {
		c := ftp.ParseCommand(ln)
		grows := c.NameEnd == len(ln) // it may be the beginning of any
		if grows || c.Verb == ftp.Port || c.Verb == ftp.EPRT {
			return true
		}
	}
	return false
}

// Resume says that the next bytes of a side need not follow on the last; atLine, that a line starts with
// them as far as is known.
func (d *Dialogue) Resume(from Side, atLine bool) {
	d.line[from], d.side[from] = nil, side{join: true, atLine: atLine}
}

// Lost says that bytes of a side went by unseen, up to somewhere in a line.
func (d *Dialogue) Lost(from Side) { d.Resume(from, false) }

// unread takes note of lines of which only the end is known: a command is answered whatever it was.
func (d *Dialogue) unread(from Side, lines int) {
	for ; from == Client && lines > 0; lines-- {
		verb := ftp.None
		if d.asks.full(verb) {
			verb = ftp.Other
		}
		d.asks.push(verb)
		d.waive()
	}
}

// Skip says that data went by untouched: it only tells where lines end.
func (d *Dialogue) Skip(from Side, data []byte) {
	s := &d.side[from]
	d.unread(from, bytes.Count(data, []byte{'\n'}))
	d.line[from], s.join, s.skip = nil, false, data[len(data)-1] != '\n'
}

// End says that the connection ends.
func (d *Dialogue) End(g Gate) {
	d.ended = true
	g.Shut(policy.SessionEnded)
}

// Revive says that it did not end: it goes on.
func (d *Dialogue) Revive() { d.ended = false }

// call is what a reading needs besides the dialogue.
type call struct {
	gate   Gate
	counts *Counts
	draft  *Draft
}

// Read reads new bytes of one side, in order, and notes in w the edits to make in them.
func (d *Dialogue) Read(from Side, data []byte, g Gate, c *Counts, w *Draft) {
	s := &d.side[from]
	if s.join {
		s.join, s.skip = false, !s.atLine || !startsLine(from, data[0])
	}
	x := call{g, c, w}
	at := 0
	if d.Opaque() {
		if at = d.clearAgain(from, data); at == len(data) {
			return
		}
	}
	for at < len(data) && !d.Opaque() {
		piece, whole := cutLine(data[at:])
		switch {
		case s.skip:
			if s.skip = !whole; whole {
				d.unread(from, 1)
			}
		case whole && d.line[from] == nil:
			d.wholeLine(from, piece, at, &x)
		default:
			d.piece(from, piece, at, &x)
		}
		at += len(piece)
	}
}

func (d *Dialogue) wholeLine(from Side, ln []byte, at int, x *call) {
	var ch change
	if from == Client {
		ch, _ = d.command(ln, x)
	} else {
		masked := d.maskedFrom(ln)
		ch, _ = d.reply(ln, x)
		if masked >= 0 {
			ch = maskLine(ln, masked)
		}
	}
	x.draft.edit(at+ch.at, ch.del, ch.text)
}

// startsLine tells whether a line of this side can begin with b.
func startsLine(from Side, b byte) bool {
	if from == Server {
		return b >= '1' && b <= '6' || b == 0xff
	}
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == 0xff
}

// clearAgain returns where in data clear text begins again after TLS (CCC, RFC 4217 section 6); its
// length: nowhere.
func (d *Dialogue) clearAgain(from Side, data []byte) int {
	if d.NotFTP() {
		return len(data)
	}
	if d.tls == nil {
		d.tls = &[2]tlsRecords{}
	}
	this, other := &d.tls[from], &d.tls[from^1]
	at := len(data) - len(this.skip(data))
	if at == len(data) || !this.clear() || !other.clear() || !startsLine(from, data[at]) {
		return len(data)
	}
	d.set(Opaque, false)
	d.set(LoggedIn, true) // it could log in only inside TLS
	d.asks.forget()
	if from == Server {
		d.asks.push(ftp.CCC) // the reply in clear text belongs to it
	}
	d.restart()
	return at
}

// restart forgets what of either side has begun and not ended.
func (d *Dialogue) restart() { d.side, d.line, d.tls = [2]side{}, [2]*line{}, nil }

// end takes the session for ended: it is still read, but opens nothing any more.
func (d *Dialogue) end(x *call) {
	d.over = true
	x.gate.Shut(policy.SessionEnded)
}

// goOpaque stops reading.
func (d *Dialogue) goOpaque(x *call) {
	x.counts.Opaque.Add(1)
	x.gate.Shut(policy.SessionEnded)
	d.set(Opaque, true)
	d.restart()
}

// notFTP stops reading what speaks another protocol.
func (d *Dialogue) notFTP(x *call) {
	d.goOpaque(x)
	d.set(NotFTP, true)
	d.refuse(policy.NotFTP, nil, x)
}

func (d *Dialogue) refuse(why policy.Reason, ln []byte, x *call) {
	x.gate.Tell(Notice{What: Refused, Why: why, Line: ln})
}
