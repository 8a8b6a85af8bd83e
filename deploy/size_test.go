package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// maxProgram is how large the program may be as it is packaged for amd64, in bytes. Routers have little
// flash. A jump of some millions says that something brought text/template or reflection by name: then the
// linker keeps every method.
const maxProgram = 13_000_000

func TestProgramIsSmall(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ftpalg")
	build := exec.Command("package/program", program)
	build.Env = append(os.Environ(), "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxProgram {
		t.Errorf("the program has %d bytes, at most %d are allowed", info.Size(), maxProgram)
	}
}
