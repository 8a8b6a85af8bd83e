package e2e

import (
	"os"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// A policy that changes while an edit is in flight changes nothing in what was judged: its repetition arrives
// as it left first. The next line is judged anew.
func TestPolicyThatChangesWhileAnEditIsInFlight(t *testing.T) {
	const line = "PORT 10,0,13,222,120,10\r\n"
	for _, c := range []struct {
		name, before, after string
		line                string // in flight; the same again afterwards
		first, then         string // what the server receives; "": a refused line
	}{
		{"it is denied", "", "strict: {deny: [PORT]}", line, "PORT 203,0,113,101,120,10\r\n", ""},
		{"it is to be shorter", "", "external_address: 9.8.7.6", line, "PORT 203,0,113,101,120,10\r\n",
			"PORT 9,8,7,6,120,10\r\n"},
		{"it is to be longer", "external_address: 9.8.7.6", "", line, "PORT 9,8,7,6,120,10\r\n",
			"PORT 203,0,113,101,120,10\r\n"},
		{"it is denied no more", "strict: {deny: [SITE]}", "", "SITE x\r\n", "", "SITE x\r\n"},
	} {
		for where, lost := range map[string]struct {
			host   func(*lab.Routed) *lab.Host
			offset uint32
		}{
			"the line is lost":            {func(r *lab.Routed) *lab.Host { return r.Server }, targetPort},
			"its acknowledgement is lost": {func(r *lab.Routed) *lab.Host { return r.Client }, sourcePort},
		} {
			t.Run(c.name+", "+where, func(t *testing.T) {
				t.Parallel()
				r := natted(t)
				s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
				g := withConfig(t, r.Gateway, c.before)
				w := &wire{TB: t, r: r, g: g, s: s, c: login(t, r.Client, r.Server.AddrPort(false, 21))}
				w.seen()
				l := lose(t, lost.host(r), lost.offset)
				w.write(c.line)
				l.await(0)
				must(t, os.WriteFile(g.file, []byte(c.after), 0o644))
				g.reload()
				w.awaitRepetition()
				l.found()
				w.replies(1)
				w.wantLine(c.line, c.first)
				w.write(c.line)
				w.replies(1)
				w.wantLine(c.line, c.then)
				accepted(t, w.c, "NOOP")
			})
		}
	}
}

// wantLine checks that the server received one line, and this one, or one that names no command if it is "".
func (w *wire) wantLine(said, want string) {
	w.Helper()
	if lines := w.seen(); want != "" && !slices.Equal(lines, []string{want}) ||
		want == "" && (len(lines) != 1 || lines[0] == said) {
		w.Errorf("of %q the server received %q, want %q", said, lines, want)
	}
}
