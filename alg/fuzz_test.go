package alg

import (
	"fmt"
	"github.com/ftpalg/ftpalg/alg/policy"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// oracle says, in the simplest way, which ports a dialogue gives a reason to open. It reads the
// two streams line by line, knows nothing of segments, and allows rather more than the gateway does.
type oracle struct {
	rest     [2]string // the unfinished line of each direction
	spoke    bool      // the server has said something
	greeted  bool
	asked    bool // USER or PASS was sent
	loggedIn bool
	foreign  bool
	passive  int // PASV and EPSV without a 227 or 229
	multi    string
	allowed  map[string]bool
	client   string
	server   string
}

// sixNumbers are the numbers of a PORT or 227.
var sixNumbers = `0*(\d+)` + strings.Repeat(`[ \t]*,[ \t]*0*(\d+)`, 5)

var (
	portLine    = regexp.MustCompile(`(?i)PORT[ \t]+` + sixNumbers + `[ \t]*\r*$`)
	eprtLine    = regexp.MustCompile(`(?i)EPRT[ \t]+(.)[12](.)([^ ]*?)(.)0*(\d+)(.)[ \t]*\r*$`)
	six         = regexp.MustCompile(sixNumbers)
	lastNumber  = regexp.MustCompile(`\d+`)
	aReply      = regexp.MustCompile(`^[1-6]\d\d`)
	final       = regexp.MustCompile(`^([3-6]\d\d|2([013-9]\d|2[0-6]))([ \r]|$)`) // no 1xx, nor 227 to 229
	httpRequest = regexp.MustCompile(`^(GET|POST) /`)
)

func (o *oracle) feed(dir conntrack.Dir, data string) {
	lines := strings.Split(o.rest[dir]+data, "\n")
	o.rest[dir] = lines[len(lines)-1]
	for _, ln := range lines[:len(lines)-1] {
		if dir == toServer {
			o.command(ln)
		} else {
			o.reply(ln)
		}
	}
}

func (o *oracle) allow(addr string, hi, lo string) {
	h, _ := strconv.Atoi(hi)
	l, _ := strconv.Atoi(lo)
	if p := h*256 + l; h <= 255 && l <= 255 && p >= 1024 {
		o.allowed[fmt.Sprint(addr, ":", p)] = true
	}
}

func (o *oracle) command(ln string) {
	upper := strings.ToUpper(ln)
	has := func(word string) bool { return strings.Contains(upper, word) }
	o.foreign = o.foreign || !o.loggedIn && httpRequest.MatchString(ln)
	o.asked = o.asked || has("USER") || has("PASS") || has("ACCT")
	if has("PASV") || has("EPSV") || has("CPSV") {
		o.passive++
	}
	if !o.greeted || !o.loggedIn || o.foreign || !has("PORT") && !has("EPRT") {
		return
	}
	if m := portLine.FindStringSubmatch(ln); m != nil && strings.Join(m[1:5], ".") == o.client {
		o.allow("active "+o.client, m[5], m[6])
	}
	if m := eprtLine.FindStringSubmatch(ln); m != nil {
		if p, _ := strconv.Atoi(m[5]); p >= 1024 && p <= 65535 {
			o.allowed[fmt.Sprint("active ", o.client, ":", p)] = true
		}
	}
}

func (o *oracle) reply(ln string) {
	for ln != "" && ln[0] >= 0xf0 { // Telnet controls
		ln = ln[1:]
	}
	if o.multi != "" {
		if !strings.HasPrefix(ln, o.multi) || strings.HasPrefix(ln, o.multi+"-") {
			return
		}
		o.multi = ""
	} else if len(ln) > 3 && ln[3] == '-' && lastNumber.FindString(ln) == ln[:3] {
		o.multi = ln[:3]
		return
	}
	// A server may take the client for logged in at once; to USER, PASS and ACCT any 2xx says so (RFC 1123
	// section 4.1.2.11).
	atOnce := !o.spoke && strings.HasPrefix(ln, "230")
	o.loggedIn = o.loggedIn || atOnce || o.asked && strings.HasPrefix(ln, "2")
	o.greeted = o.greeted || aReply.MatchString(ln) && ln[0] < '3'
	o.spoke = o.spoke || final.MatchString(ln)
	if o.passive == 0 || !o.loggedIn || !strings.HasPrefix(ln, "227") && !strings.HasPrefix(ln, "229") {
		return
	}
	for _, m := range six.FindAllStringSubmatch(ln[3:], -1) {
		o.allow("passive "+o.server, m[5], m[6])
	}
	for _, m := range lastNumber.FindAllString(ln[3:], -1) {
		if p, err := strconv.Atoi(m); err == nil && p >= 1024 && p <= 65535 {
			o.allowed[fmt.Sprint("passive ", o.server, ":", p)] = true
		}
	}
}

// recorder notes every expectation that is ever made.
type recorder struct {
	fakeKernel
	made []conntrack.Expectation
}

func (r *recorder) Expect(e *conntrack.Expectation) error {
	r.made = append(r.made, *e)
	return r.fakeKernel.Expect(e)
}

// Input of the fuzz test: a byte that says the direction (bit 0) and the length of the segment
// (the others), and then the segment. A length of 0 kills the gateway and starts another.
func encode(segments ...string) (b []byte) {
	for _, s := range segments {
		if s == killed {
			b = append(b, 0)
			continue
		}
		dir := byte(toServer)
		if s[0] == 's' {
			dir = byte(toClient)
		}
		for text := s[2:]; text != ""; {
			n := min(len(text), 127)
			b = append(append(b, byte(n)<<1|dir), text[:n]...)
			text = text[n:]
		}
	}
	return b
}

const killed = "killed"

func FuzzNoPortOpensWithoutAReason(f *testing.F) {
	in := []string{"s>220 hi\r\n", "c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>230 in\r\n"}
	for _, seed := range [][]string{
		{"c>PORT 10,0,13,222,39,136\r\n", "s>200 ok\r\n", "c>RETR a\r\n", "s>150 x\r\n226 y\r\n"},
		{"c>PASV\r\n", "s>227 x (10,0,1,66,39,136)\r\n"},
		{"c>EPSV\r\n", "s>229 x (|||10120|)\r\n", "c>EPRT |1|10.0.13.222|10120|\r\n"},
		{"c>PO", "c>RT 10,0,13,2", "c>22,39,136\r", "c>\n"},
		{"c>PASV\r\n", "s>227 x (10,0,1,6", "s>6,39,13", "s>6)\r\n"},
		{"c>CWD a\nPORT 10,0,13,222,39,136\r\n", "c>AUTH TLS\r\n", "s>234 x\r\n", "c>\x16\x03\x01\x00\x02xx"},
		{"c>EPSV ALL\r\n", "s>200 x\r\n", "c>REIN\r\n", "s>220 x\r\n", "c>PORT 10,0,13,222,39,136\r\n"},
		{"c>CWD a", killed, "c>PORT 10,0,13,222,39,136\r\n", "s>250 ok\r\n"},
		{"c>PASV\r\n", killed, "s>227 x (10,0,1,66,39,136)\r\n", killed, "c>PASV\r\n", "s>150 x"},
		{"c>PORT 10,0,13,222,39,136\r\n", killed, "s>200 ok\r\n", "c>RETR a", killed,
			"c>PORT 10,0,13,222,39,137\r\n"},
		{"c>PASV\r\n", "s>227-a (10,0,1,66,39,136)\r\n227 b 10,0,1,66,39,137\r\n"},
	} {
		f.Add(encode(append(in[:5:5], seed...)...))
		f.Add(encode(seed...))
	}
	f.Add(encode("c>POST / HTTP/1.1\r\n\r\nPORT 10,0,13,222,39,136\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, flow := range []conntrack.Flow{firewallFlow(), snatFlow(), dnatFlow()} {
			converse(t, flow, input)
		}
	})
}

func converse(t *testing.T, flow conntrack.Flow, input []byte) {
	d := newTalk(t, flow, policy.Default())
	d.holes = true
	r := &recorder{fakeKernel: *d.k}
	d.k = &r.fakeKernel
	d.g.kernel = r
	o := &oracle{allowed: map[string]bool{}, client: clientIn.Addr().String(),
		server: serverAddr.Addr().String()}
	var sent [2]int
	for len(input) > 1 {
		dir := conntrack.Dir(input[0] & 1)
		n := min(int(input[0]>>1), len(input)-1)
		text := string(input[1 : 1+n])
		input = input[1+n:]
		if n == 0 {
			if s := d.g.table.find(flow.Tuple[0]); s != nil && s.conn.Carrier() == rewrite.Program &&
				d.k.flow.State&conntrack.StateBusy != 0 {
				return // it dies with the program
			}
			d.restart()
			d.g.kernel = r
			continue
		}
		d.send(dir, text)
		o.feed(dir, text)
		sent[dir] += n
	}
	for _, e := range r.made {
		who := "passive "
		if e.Dir == conntrack.Reply {
			who = "active "
		}
		if !o.allowed[who+e.Target.String()] {
			t.Fatalf("%s%v was opened, there is a reason only for %v", who, e.Target, o.allowed)
		}
		if flow.SNAT == false && flow.DNAT == false && e.Dst != e.Target {
			t.Fatalf("without NAT %v leads to %v", e.Dst, e.Target)
		}
	}
}
