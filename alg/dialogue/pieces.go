package dialogue

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// piece takes one more piece of a line that comes in several; at is where it stands in the data under way.
func (d *Dialogue) piece(from Side, piece []byte, at int, x *call) {
	if d.line[from] == nil {
		d.line[from] = x.draft.line()
		if from == Client && !d.has(NotFTP|LoggedIn) && !d.policy.Strict.Active() && ftp.Foreign(piece) {
			x.draft.done(d.line[from])
			d.notFTP(x)
			return
		}
	}
	l := d.line[from]
	had := len(l.buf)
	l.add(piece)
	masked := -1
	if from == Client {
		d.planCommand(l, x.gate)
	} else {
		d.planReply(l, x.gate)
		masked = d.maskedFrom(l.buf)
	}
	for i, b := range piece {
		pos := had + i
		switch {
		case b == '\n':
			d.endPieces(from, l, at+i, x)
		case masked >= 0 && pos >= masked && b != '\r':
			x.draft.edit(at+i, 1, mask[:1])
		case l.mode < blank || pos < l.from:
		case l.mode == blank && b != '\r':
			x.draft.edit(at+i, 1, filler[:1])
		case l.mode == swallow && pos >= maxLine:
			// Too long for an address. What was swallowed is left out, so that the receiver refuses the line.
			x.draft.edit(at+i, 1, filler[:1])
			l.mode = blank
		case l.mode == swallow:
			x.draft.swallow(at + i)
		}
	}
	if piece[len(piece)-1] == '\n' {
		x.draft.done(l)
		d.line[from] = nil
	}
}

// planCommand decides what happens to the argument as soon as the verb is whole.
func (d *Dialogue) planCommand(l *line, g Gate) {
	if l.mode != undecided {
		return
	}
	c := ftp.ParseCommand(l.buf)
	if c.NameEnd >= len(l.buf) || c.NameEnd == c.NameStart || isEnd(l.buf[c.NameEnd]) {
		return // the verb may still grow, or has no argument
	}
	l.from = c.NameEnd + 1
	switch {
	case d.has(NotFTP):
		l.mode = pass
	case c.Verb == ftp.Auth && d.policy.TLS == policy.TLSDeny, d.policy.Strict.Verb(c.Name) != policy.None:
		l.mode = blank
	case c.Verb == ftp.Port || c.Verb == ftp.EPRT:
		l.hold(g.Swallow(Client, d.asks.empty() && d.mayOpenActive() == policy.None))
	default:
		l.mode = pass
	}
}

// planReply decides what happens to the text of a reply as soon as its code is whole. The numbers of a
// 227 or 229 wait, with what is behind them, for the end of the line, as the client does.
func (d *Dialogue) planReply(l *line, g Gate) {
	if l.mode == undecided {
		code, kind := ftp.ParseReply(l.buf)
		at := bytes.Index(l.buf, []byte("22"))
		switch {
		case len(l.buf) < 4, at < 0 && l.buf[0] == 0xff && len(l.buf) < 16, at >= 0 && at+4 > len(l.buf):
			return // the code may still come
		case !isPassive(code) || kind != ftp.Final || d.multi != 0 && int(d.multi) != code || d.has(NotFTP):
			l.mode = pass
			return
		}
		l.from = at + 4
		l.hold(g.Swallow(Server, d.asks.waiting() <= 1 && d.mayOpenPassive() == policy.None))
	}
	if l.mode != swallow || l.from >= len(l.buf) || isDigit(l.buf[l.from]) || l.buf[l.from] == '|' {
		return
	}
	for l.from < len(l.buf) && !isDigit(l.buf[l.from]) && l.buf[l.from] != '|' {
		l.from++ // text in front of the numbers goes on
	}
}

// endPieces judges a line that came in pieces, at its line feed, which stands at at in the data under way.
func (d *Dialogue) endPieces(from Side, l *line, at int, x *call) {
	switch {
	case l.long && from == Client:
		d.endLongCommand(l, at, x)
		return
	case l.long:
		d.reply(append(l.buf, '\n'), x) // the code counts all the same
		return
	}
	var ch change
	var why policy.Reason
	d.barred = l.barred
	if from == Client {
		ch, why = d.command(l.buf, x)
	} else {
		ch, why = d.reply(l.buf, x)
	}
	d.barred = false
	switch {
	case l.mode == swallow:
		x.draft.edit(at, 1, l.tail(from, ch, x.draft))
	case from == Client && why.Refusal() && l.mode != blank &&
		!(why == policy.NotFTP && !d.policy.Strict.Active()),
		from == Client && l.mode == blank && why.Strict():
		d.spoil(l, at, x)
	}
}

// tail returns what goes on at the end of a line whose bytes from l.from on were swallowed: they, with the
// change. Where that lies before them the line is refused by making them unreadable: of a reply the
// digits, so that a client that understands 227 or 229 finds no address, and gives up.
func (l *line) tail(by Side, ch change, w *Draft) []byte {
	from := min(l.from, len(l.buf)-1) // the line feed was not swallowed
	text, end := l.buf[from:], endOf(l.buf)
	switch {
	case ch.del == 0:
		return w.keep(text)
	case ch.at >= from:
		return w.keep(l.buf[from:ch.at], ch.text, l.buf[ch.at+ch.del:])
	}
	out := w.keep(text)
	for i, b := range out[:max(0, len(out)-len(end))] {
		if by == Client || isDigit(b) {
			out[i] = filler[0]
		}
	}
	return out
}

// spoil is put in front of the end of a command in pieces that is refused: a name is nowhere longer than
// 255 bytes, and no verb is. at is where its line feed stands in the data under way.
func (d *Dialogue) spoil(l *line, at int, x *call) {
	end := endOf(l.buf)
	if l.long {
		end = []byte("\n")
	}
	if at < len(end)-1 {
		end = end[1:] // the carriage return went on in the piece before
	}
	// Some servers end a line at the carriage return.
	x.draft.edit(at-len(end)+1, len(end), x.draft.keep(filler[:256], end))
}

// endLongCommand notes a command of which only the beginning is known.
func (d *Dialogue) endLongCommand(l *line, at int, x *call) {
	c := ftp.ParseCommand(l.buf)
	if c.Verb == ftp.None || d.has(NotFTP) {
		return
	}
	if d.foreign(l.buf, &c) && d.policy.Strict.Active() {
		d.keepOut(l.buf, &c, x)
		d.spoil(l, at, x)
		return
	}
	d.bareLF = l.bare
	x.counts.Commands[c.Verb].Add(1)
	why := d.denies(append(bytes.TrimRight(l.buf, "\r"), "\r\n"...), &c)
	switch {
	case why != policy.None:
		d.refuse(why, l.buf, x)
		d.violated(why, x)
		d.spoil(l, at, x)
	case c.Verb == ftp.Port || c.Verb == ftp.EPRT:
		d.refuse(policy.LineTooLong, l.buf[:32], x)
	case d.asks.full(c.Verb):
		d.refuse(policy.PipelineLimit, l.buf[:32], x)
		d.spoil(l, at, x)
	default:
		d.asks.push(c.Verb)
		return
	}
	d.asks.push(ftp.Other)
}
