package pack

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// older is a version before the one under test.
const older = "1.2.2"

// The packages of this processor are installed, upgraded and removed by the real dpkg and rpm.
func TestPackagesComeAndGo(t *testing.T) {
	if os.Geteuid() != 0 {
		const why = "NOT TESTED: a root file system needs root"
		if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	dir := t.TempDir()
	build := exec.Command(filepath.Join(otherTree(t), "deploy/package/build"), dir, *architecture)
	build.Env = append(os.Environ(), "FTPALG_VERSION="+older, "SOURCE_DATE_EPOCH="+epoch)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, kind := range []string{"deb", "rpm"} {
		t.Run(kind, func(t *testing.T) {
			suffix := "-" + *architecture + "." + kind
			c := exec.Command("./"+kind, filepath.Join(dir, "ftpalg-"+older+suffix),
				filepath.Join(made, "ftpalg-"+version+suffix))
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// otherTree is a copy of the tree with another configuration in its packages: only then does an upgrade show
// whether one that was edited is kept.
func otherTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command("sh", "-ec", `git ls-files -z --cached --others --exclude-standard |
		xargs -0 cp -P --parents -t "$0"
		echo '# As it was once.' >>"$0/deploy/ftpalg.yaml"`, dir)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}
