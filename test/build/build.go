package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main runs the tests with the program at *path, and returns their exit status. If *path is empty the
// program is built before, in a directory that is gone afterwards.
func Main(m *testing.M, path *string) int {
	if *path != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ftpalg-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	*path = filepath.Join(dir, "ftpalg")
	build := exec.Command("go", "build", "-o", *path, "github.com/ftpalg/ftpalg/cmd/ftpalg")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the program under test:", err)
		return 1
	}
	return m.Run()
}
