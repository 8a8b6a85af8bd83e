package dialogue

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// Input of the fuzz test: a byte that says the side (bit 0) and the length of the segment (the
// others), and then the segment.
func encode(segments ...string) (b []byte) {
	for _, s := range segments {
		side := byte(Client)
		if s[0] == 's' {
			side = byte(Server)
		}
		for text := s[2:]; text != ""; {
			n := min(len(text), 127)
			b = append(append(b, byte(n)<<1|side), text[:n]...)
			text = text[n:]
		}
	}
	return b
}

func FuzzCutsOpenTheSameDoorsAsWholeLines(f *testing.F) {
	for _, segs := range [][]string{
		{port, "s>200 ok\r\n", "c>RETR a\r\n", "s>150 x\r\n226 y\r\n"},
		{"c>PO", "c>RT 10,0,13,2", "c>22,39,136\r", "c>\n"},
		{"c>EPRT |", "c>1|10.0.13.222|10120|\r\n", "c>AUTH TLS\r\n", "c>PORT 10,0,13,222,39,136\r\n",
			"s>234 x\r\n"},
		{"c>PASV\r\n", "s>227 x (10,0,1,6", "s>6,39,13", "s>6)\r\n"},
		{"c>EPSV\r\n", "s>229-a\r\n", "s>229 x (|||101", "s>20|)\r\n", "c>EPSV ALL\r\n"},
		{"c>CWD a\n", "c>PORT 10,0,13,222,39,136\r\n", "c>ABOR\r\nQUIT\r\n", "s>421 x\r\n"},
		{"c>GET / HT", "c>TP/1.1\r\n", port},
	} {
		f.Add(encode(append(in[:5:5], segs...)...))
		f.Add(encode(segs...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, e := range []Endpoints{routed, snat, dnat} {
			for _, r := range []policy.Strict{{}, {Enabled: true, MaskBanner: true}} {
				converse(t, newLab(t, e, strictPolicy(r)), newLab(t, e, strictPolicy(r)), input)
			}
		}
	})
}

// converse has one dialogue read the input as it comes and another line by line.
func converse(t *testing.T, cut, whole *lab, input []byte) {
	var rest [2][]byte
	comparable := true
	for len(input) > 1 {
		side, n := Side(input[0]&1), min(int(input[0]>>1), len(input)-1)
		data := input[1 : 1+n]
		input = input[1+n:]
		if n == 0 {
			continue
		}
		cut.send(side, string(data)) // fails where edits are out of order
		bounded(t, &cut.d)
		rest[side] = append(rest[side], data...)
		for {
			ln, ended := cutLine(rest[side])
			comparable = comparable && len(ln) < maxLine
			if !ended {
				break
			}
			whole.send(side, string(ln))
			rest[side] = bytes.Clone(rest[side][len(ln):])
		}
		switch {
		case !comparable:
		case cut.d.NotFTP(): // the beginning of a line may look foreign
			comparable = false
			if len(cut.made) > len(whole.made) {
				t.Fatalf("in pieces %v were opened, in lines %v", cut.made, whole.made)
			}
		case cut.d.Opaque(), whole.d.Opaque():
			comparable = false // TLS has no lines
		case !slices.Equal(cut.made, whole.made):
			t.Fatalf("in pieces %v were opened, in lines %v", cut.made, whole.made)
		}
	}
}

// bounded fails where the dialogue keeps more than it should.
func bounded(t *testing.T, d *Dialogue) {
	if n := len(d.asks.waits()); n > maxRuns+1 {
		t.Fatalf("%d runs of commands are kept", n)
	}
	for _, l := range d.line {
		if l != nil && len(l.buf) > maxLine {
			t.Fatal("a line grows without bound")
		}
	}
}
