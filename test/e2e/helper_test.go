package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// attachHelper has another table attach the kernel's own FTP helper in a chain.
func attachHelper(t *testing.T, h *lab.Host, chain string) {
	t.Helper()
	nft := h.Command(t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(`table inet mangle {
	ct helper ftp { type "ftp" protocol tcp; }
	chain early { type filter hook ` + chain + `; tcp dport 21 ct helper set "ftp"; }
}`)
	out, err := nft.CombinedOutput()
	if strings.Contains(string(out), "No such file or directory") && os.Getenv("FTPALG_BINARY") != "" {
		t.Skip("NOT TESTED: this kernel has no FTP helper of its own")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// What check says of helpers rests on this.
func TestFirstHelperThatIsAttachedStays(t *testing.T) {
	for chain, ours := range map[string]bool{
		"prerouting priority -160": false, "prerouting priority -140": true, "forward priority 10": true,
	} {
		r := routed(t, (*lab.Lab).ServerBehindNAT)
		attachHelper(t, r.Gateway, chain)
		startGateway(t, r.Gateway)
		s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
		c := login(t, r.Client, r.Outside.AddrPort(false, lab.ControlPort))
		if e, err := entryOf(t, r.Gateway, c); err != nil || (e.Helper != "ftp") != ours {
			t.Errorf("%s: the helper is %q, %v", chain, e.Helper, err)
		}
		if ours {
			get(t, c, s, ftptest.PASV, "small")
		}
	}
}
