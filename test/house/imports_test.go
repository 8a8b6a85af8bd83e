package house

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ftpalg/ftpalg/"

// mayImport says which packages of the module those in a folder may import: the folder
// itself, those below it, and these. The longest name counts. Tests are free, but those of
// conntrack and rewrite.
var mayImport = map[string][]string{
	"cmd":          {"alg", "rewrite", "conntrack", "test/lab", "test/ftptest"},
	"alg":          {"rewrite", "conntrack"},
	"alg/ftp":      {},
	"alg/policy":   {"alg/ftp"},
	"alg/fate":     {"alg/dialogue", "alg/policy", "alg/internal/elastic", "conntrack"},
	"alg/dialogue": {"alg/policy", "alg/ftp", "rewrite"},
	"rewrite":      {},
	"conntrack":    {},
	"deploy":       {},
	"test":         {"conntrack", "alg", "rewrite"},
	"test/lab":     {},
	"test/ftptest": {},
	"test/house":   {},
}

func TestImportsGoOneWay(t *testing.T) {
	judge(t, "import", wrongImports(sources(t)))
}

func wrongImports(all []*source) map[string]string {
	found := map[string]string{}
	// The world in which the models run has the kernel's entry in it.
	models := map[string]bool{"conntrack": true, "test/sim": true}
	for _, s := range all {
		isTest := strings.HasSuffix(s.name, "_test.go")
		for _, i := range s.file.Imports {
			name, _ := strconv.Unquote(i.Path.Value) // the parser has seen to it
			if name == "os/exec" && !isTest && !within(s.name, "test") {
				found[s.name+" "+name] = "programs are started only by tests"
			}
			ours, ok := strings.CutPrefix(name, module)
			if !ok || isTest && (!within(s.name, "rewrite") && !within(s.name, "conntrack") || models[ours]) {
				continue
			}
			if room := folder(s.name); !allowed(room, ours) {
				found[s.name+" "+ours] = fmt.Sprintf("%s may not import it", room)
			}
		}
	}
	return found
}

// folder is the entry of mayImport that a file belongs to, or its directory.
func folder(file string) string {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if _, ok := mayImport[dir]; ok {
			return dir
		}
	}
	return path.Dir(file)
}

func allowed(room, name string) bool {
	if within(name, room) {
		return true
	}
	for _, other := range mayImport[room] {
		if within(name, other) {
			return true
		}
	}
	return false
}

// within tells whether a path is a directory or lies below it.
func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
