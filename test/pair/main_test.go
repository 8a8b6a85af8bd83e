// Package pair tests two gateways, one of which takes over from the other: the program itself, conntrackd and
// the files of deploy/ha, in network namespaces. It needs conntrackd and nft.
package pair

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/build"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

var program string

func TestMain(m *testing.M) { os.Exit(build.Main(m, &program)) }

// need skips where a program is missing, or fails where nothing may be skipped.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("SKIPPED, NOT TESTED: %s is not installed", name)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
