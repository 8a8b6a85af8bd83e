package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ftpalg/ftpalg/test/lab"
)

// As behind `ftpalg demo | head`.
func TestDemoWhoseReaderGoesAwayLeavesNothingBehind(t *testing.T) {
	lab.NewT(t) // skips without root
	cmd := exec.Command(program, "demo")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('.'); err != nil {
		t.Error(err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it says nothing of a report that nobody reads")
	}
	left, err := filepath.Glob(fmt.Sprintf("/run/netns/ftpalg-%d-*", cmd.Process.Pid))
	if len(left) > 0 || err != nil {
		t.Errorf("it left %v: %v", left, err)
	}
}
