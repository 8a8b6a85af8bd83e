package pack

import (
	"bytes"
	"debug/elf"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root    = "../.."
	version = "1.2.3~rc.4" // with a mark that not every format knows
	epoch   = "1750000000"
)

// architecture is what the packages are made for; all of them have the same contents.
var architecture = flag.String("architecture", "amd64", "the processor whose packages are looked into")

// made is the directory of the packages, which were built twice.
var made string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ftpalg-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		made = dir
		build := exec.Command("./reproducible", "-o", dir, *architecture)
		build.Env = append(os.Environ(), "FTPALG_VERSION="+version, "SOURCE_DATE_EPOCH="+epoch)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// released reads what was made for the processor, by what comes after its name.
func released(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(made, "ftpalg-"+version+"-"+name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func source(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// want is a file that a package must have: its mode, where its text comes from in the tree, if it is a copy,
// and whether an upgrade keeps it.
type want struct {
	mode   fs.FileMode
	source string
	config bool
}

const (
	docs    = "/usr/share/doc/ftpalg/"
	program = "/usr/bin/ftpalg"
)

// documents are in a directory of their own in each package but those for OpenWrt.
func documents(dir string) map[string]want {
	return map[string]want{
		dir + "README.md":            {0o644, "README.md", false},
		dir + "CHANGELOG.md":         {0o644, ".github/CHANGELOG.md", false},
		dir + "LICENSE":              {0o644, "LICENSE", false},
		dir + "copyright":            {0o644, "", false},
		dir + "THIRD-PARTY-LICENSES": {0o644, "", false},
		dir + "ftpalg.rules.yaml":    {0o644, "deploy/prometheus/ftpalg.rules.yaml", false},
		dir + "ftpalg.json":          {0o644, "deploy/grafana/ftpalg.json", false},
	}
}

// installed is what deb and rpm have; they differ in where zsh looks.
func installed(zsh string) map[string]want {
	files := map[string]want{
		program:                                  {0o755, "", false},
		"/usr/lib/systemd/system/ftpalg.service": {0o644, "deploy/ftpalg.service", false},
		"/etc/ftpalg.yaml":                       {0o640, "deploy/ftpalg.yaml", true},
		docs + "ftpalg.cdx.json":                 {0o644, "", false},
		zsh:                                      {0o644, "", false},
		"/usr/share/bash-completion/completions/ftpalg":    {0o644, "", false},
		"/usr/share/fish/vendor_completions.d/ftpalg.fish": {0o644, "", false},
		"/usr/share/man/man1/ftpalg.1":                     {0o644, "", false},
		"/usr/share/man/man1/ftpalg-run.1":                 {0o644, "", false},
	}
	maps.Copy(files, documents(docs))
	return files
}

// unpacked is what the archive has.
func unpacked() map[string]want {
	const dir = "/ftpalg-" + version + "-linux-"
	top := dir + *architecture + "/"
	files := map[string]want{
		top + "ftpalg":                  {0o755, "", false},
		top + "ftpalg.service":          {0o644, "deploy/ftpalg.service", false},
		top + "ftpalg.yaml":             {0o644, "deploy/ftpalg.yaml", false},
		top + "ftpalg.cdx.json":         {0o644, "", false},
		top + "completions/ftpalg.bash": {0o644, "", false},
		top + "completions/ftpalg.fish": {0o644, "", false},
		top + "completions/ftpalg.zsh":  {0o644, "", false},
		top + "man/ftpalg.1":            {0o644, "", false},
		top + "man/ftpalg-run.1":        {0o644, "", false},
	}
	maps.Copy(files, documents(top+"doc/"))
	return files
}

// onRouter is what the packages for OpenWrt have.
var onRouter = map[string]want{
	program:              {0o755, "", false},
	"/etc/init.d/ftpalg": {0o755, "deploy/package/openwrt/ftpalg.init", false},
	"/etc/config/ftpalg": {0o600, "deploy/package/openwrt/ftpalg.config", true},
}

func TestEachPackageHasWhatItShould(t *testing.T) {
	ours := map[string]string{"postinst": "postinstall", "prerm": "preremove", "postrm": "postremove"}
	router := map[string]string{"postinst": "openwrt/postinstall", "prerm": "openwrt/preremove"}
	alpine := map[string]string{"post-upgrade": "openwrt/postupgrade"}
	maps.Copy(alpine, router)
	for _, c := range []struct {
		name    string
		read    func(*testing.T, []byte) *contents
		files   map[string]want
		scripts map[string]string
	}{
		{*architecture + ".deb", readDeb, installed("/usr/share/zsh/vendor-completions/_ftpalg"), ours},
		{*architecture + ".rpm", readRPM, installed("/usr/share/zsh/site-functions/_ftpalg"), ours},
		{*architecture + ".ipk", readIpk, onRouter, router},
		{*architecture + ".apk", readApk, onRouter, alpine},
		{"linux-" + *architecture + ".tar.gz", readTar, unpacked(), nil},
	} {
		t.Run(filepath.Ext(c.name), func(t *testing.T) {
			p := c.read(t, released(t, c.name))
			p.mustHave(t, c.files)
			p.mustRun(t, c.scripts)
		})
	}
}

// mustHave compares the files with those that are wanted. Manual pages may be more.
func (c *contents) mustHave(t *testing.T, files map[string]want) {
	t.Helper()
	for name, f := range c.files {
		w, ok := files[name]
		switch {
		case !ok && strings.Contains(name, "/man"):
			w = want{mode: 0o644}
		case !ok:
			t.Errorf("%s is not expected", name)
			continue
		}
		if f.mode != w.mode || f.owner != "0:0" || f.config != w.config {
			t.Errorf("%s: mode %o of %s, kept %v, want %o of root, kept %v",
				name, f.mode, f.owner, f.config, w.mode, w.config)
		}
		if len(f.body) == 0 || w.source != "" && string(f.body) != source(t, w.source) {
			t.Errorf("%s has %d bytes, which are not those of %q", name, len(f.body), w.source)
		}
	}
	for name := range files {
		if _, ok := c.files[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

// mustRun compares the scripts with the files in deploy/package.
func (c *contents) mustRun(t *testing.T, scripts map[string]string) {
	t.Helper()
	for name, text := range c.scripts {
		if from, ok := scripts[name]; !ok || strings.TrimSpace(text) != strings.TrimSpace(
			source(t, "deploy/package/"+from)) {
			t.Errorf("the script %s, from %q, is not expected:\n%s", name, from, text)
		}
	}
	for name := range scripts {
		if c.scripts[name] == "" {
			t.Errorf("there is no script %s", name)
		}
	}
}

func TestEachPackageTellsItsVersion(t *testing.T) {
	if *architecture != "amd64" {
		t.Skip("NOT TESTED: the names are those of amd64")
	}
	for name, c := range map[string]struct {
		read func(*testing.T, []byte) *contents
		want map[string]string
	}{
		"amd64.deb": {readDeb, map[string]string{"Version": version, "Architecture": "amd64"}},
		"amd64.rpm": {readRPM, map[string]string{"Version": version, "Architecture": "x86_64"}},
		"amd64.ipk": {readIpk, map[string]string{"Version": version, "Architecture": "x86_64"}},
		"amd64.apk": {readApk, map[string]string{"pkgver": "1.2.3_rc4", "arch": "x86_64"}},
	} {
		p := c.read(t, released(t, name))
		for field, value := range c.want {
			if p.fields[field] != value {
				t.Errorf("%s: %s is %q, want %q", name, field, p.fields[field], value)
			}
		}
	}
}

// The program is the same in each package, and needs no library.
func TestProgramIsOneStaticStrippedFile(t *testing.T) {
	deb := readDeb(t, released(t, *architecture+".deb")).files[program].body
	for kind, p := range map[string]*contents{
		"rpm": readRPM(t, released(t, *architecture+".rpm")),
		"ipk": readIpk(t, released(t, *architecture+".ipk")),
		"apk": readApk(t, released(t, *architecture+".apk")),
	} {
		if !bytes.Equal(p.files[program].body, deb) {
			t.Errorf("%s has another program than deb", kind)
		}
	}
	f, err := elf.NewFile(bytes.NewReader(deb))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".interp", ".dynamic", ".symtab", ".debug_info"} {
		if f.Section(name) != nil {
			t.Errorf("the program has a section %s", name)
		}
	}
}

func TestProgramTellsItsVersion(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ftpalg")
	deb := readDeb(t, released(t, *architecture+".deb"))
	if err := os.WriteFile(name, deb.files[program].body, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(name, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) {
		t.Errorf("ftpalg version: %v, %s", err, out)
	}
}

func TestChecksumsAreThoseOfAllFiles(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(made, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(string(text), "\n"), len(files)-1; got != want || want < 6 {
		t.Errorf("SHA256SUMS has %d lines for %d files", got, want)
	}
	c := exec.Command("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS")
	c.Dir = made
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
