package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// peerTime is how long a real client may take, which is longer than it is told to wait.
const peerTime = 2 * time.Minute

// peer is a real client that comes again and again.
type peer struct {
	w       *world
	n       int
	side    *side
	rng     *rand.Rand
	program string
	dir     string
}

func (p *peer) run() {
	for i := 0; !p.w.over(); i++ {
		p.visit(fmt.Sprintf("%s%d.%d", p.program, p.n, i))
		time.Sleep(time.Duration(p.rng.Int64N(int64(thinks))))
	}
}

// visit retrieves a file twice and stores one, in one session.
func (p *peer) visit(user string) {
	up := fmt.Sprintf("from%d", p.n)
	stored := ftptest.Random(1+p.rng.IntN(300_000), p.rng.Uint64())
	must(p.w.t, os.WriteFile(filepath.Join(p.dir, up), stored, 0o644))
	p.side.server.Put(up, nil) // lftp goes on where a file ends, also one of an earlier visit
	for _, name := range []string{"one", "two"} {
		_ = os.Remove(filepath.Join(p.dir, name))
	}
	modes := p.side.modes()
	m := modes[p.rng.IntN(len(modes))]
	args := p.curl(user, up, m)
	if p.program == "lftp" {
		args = p.lftp(user, up, m)
	}
	ctx, cancel := context.WithTimeout(p.w.ctx, peerTime)
	defer cancel()
	c := p.w.real[btoi(p.side.inside)].Command(ctx, p.program, args...)
	c.Dir, c.Env = p.dir, append(os.Environ(), "HOME="+p.dir, "LC_ALL=C")
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		p.w.t.Errorf("%s %s by %s hangs\n%s", user, p.side.name, m, out)
	case errors.As(err, &exit):
		p.w.tally.add(fmt.Sprintf("%s told, exit status %d", p.program, exit.ExitCode()))
		p.w.chaos.tell("%s %s by %s ends with %d: %.100s", user, p.side.name, m, exit.ExitCode(), out)
	case err != nil:
		p.w.t.Errorf("%s: %v", p.program, err)
	default:
		p.check(user, up, stored)
		p.w.tally.add(p.program + " has all three files whole")
	}
}

func (p *peer) check(user, up string, stored []byte) {
	want, _ := p.side.server.File("big")
	for _, name := range []string{"one", "two"} {
		if got, err := os.ReadFile(filepath.Join(p.dir, name)); !bytes.Equal(got, want) {
			p.w.t.Errorf("%s was told of success, but %s has %d of %d bytes, or others (%v)", user, name,
				len(got), len(want), err)
		}
	}
	if got, _ := p.side.server.File(up); !bytes.Equal(got, stored) {
		p.w.t.Errorf("%s was told of success, but of %d bytes stored are %d, or others", user, len(stored),
			len(got))
	}
}

// authority is the server in a URL.
func (p *peer) authority() string { return strings.TrimSuffix(p.side.dial, ":21") }

func (p *peer) curl(user, up string, m ftptest.Mode) (args []string) {
	common := []string{"--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", "20",
		"--fail-early", "--user", user + ":p"}
	switch m {
	case ftptest.PORT:
		common = append(common, "--ftp-port", "-", "--disable-eprt")
	case ftptest.EPRT:
		common = append(common, "--ftp-port", "-")
	case ftptest.PASV: // without the last it ignores the address in 227
		common = append(common, "--disable-epsv", "--no-ftp-skip-pasv-ip")
	}
	url := "ftp://" + p.authority() + "/"
	for _, transfer := range [][]string{
		{"--output", "one", url + "big"}, {"--output", "two", url + "big"}, {"--upload-file", up, url},
	} {
		args = append(append(append(args, common...), transfer...), "--next")
	}
	return args[:len(args)-1]
}

func (p *peer) lftp(user, up string, m ftptest.Mode) []string {
	onOff := func(on bool) string {
		if on {
			return "on"
		}
		return "off"
	}
	return []string{"-c", fmt.Sprintf(`set cmd:fail-exit true
set net:timeout 15
set net:max-retries 2
set net:reconnect-interval-base 1
set ftp:ssl-allow no
set ftp:sync-mode %s
set ftp:fix-pasv-address no
set ftp:passive-mode %s
set ftp:prefer-epsv %s
set xfer:clobber on
open -u %s,p ftp://%s/
get big -o one
get big -o two
put %s
`, onOff(p.rng.IntN(2) == 0), onOff(!m.Active()), onOff(m == ftptest.EPSV), user, p.authority(), up)}
}
