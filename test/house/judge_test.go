package house

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// written is a file of Go that is in no tree.
func written(t *testing.T, name, text string) []*source {
	t.Helper()
	s := &source{name: name, text: []byte(text), set: token.NewFileSet()}
	var err error
	if s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments); err != nil {
		t.Fatal(err)
	}
	return []*source{s}
}

func TestWrongImportsAreFound(t *testing.T) {
	for _, c := range []struct {
		file, imports string
		wrong         bool
	}{
		{"alg/a.go", module + "rewrite", false},
		{"alg/dialogue/a.go", module + "alg/policy", false},
		{"alg/dialogue/a.go", module + "alg", true},
		{"alg/ftp/a.go", module + "alg/policy", true},
		{"rewrite/a.go", module + "conntrack", true},
		{"rewrite/a_test.go", module + "alg", true},
		{"conntrack/a.go", module + "alg", true},
		{"conntrack/probe/a.go", module + "conntrack/ruleset", false},
		{"alg/a_test.go", module + "test/lab", false},
		{"alg/a.go", module + "cmd/ftpalg", true},
		{"cmd/ftpalg/a.go", "os/exec", true},
		{"cmd/ftpalg/a_test.go", "os/exec", false},
		{"test/lab/a.go", "os/exec", false},
	} {
		all := written(t, c.file, "package a\n\nimport _ \""+c.imports+"\"\n")
		if found := wrongImports(all); (len(found) > 0) != c.wrong {
			t.Errorf("%s imports %s: found %v", c.file, c.imports, found)
		}
	}
}

func TestPackageWithoutACommentIsFound(t *testing.T) {
	for text, missing := range map[string]bool{
		"package a\n": true, "// Package a is one.\npackage a\n": false,
	} {
		if found := undocumented(written(t, "a/doc.go", text)); (len(found) > 0) != missing {
			t.Errorf("%q: found %v", text, found)
		}
	}
	if found := undocumented(written(t, "a/b.go", "// Package a is one.\npackage a\n")); len(found) == 0 {
		t.Error("the comment stands elsewhere than in doc.go, and that is not found")
	}
}

func TestSizesAreFound(t *testing.T) {
	wide := "package a\n\n//" + strings.Repeat("x", maxWidth-1) + "\n"
	if found := wideLines(written(t, "a.go", wide)); len(found) != 1 {
		t.Errorf("a line of %d columns: %v", maxWidth+1, found)
	}
	if found := longFiles(written(t, "a.go", "package a\n"+strings.Repeat("\n", maxFile))); len(found) != 1 {
		t.Errorf("a file of %d lines: %v", maxFile+1, found)
	}
	long := "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", maxFunction-1) + "}\n"
	if found := longFunctions(written(t, "a.go", long)); len(found) != 1 {
		t.Errorf("a function of %d lines: %v", maxFunction+1, found)
	}
	table := "package a\n\nfunc f() {\n\t_ = []int{\n" + strings.Repeat("\t\t1,\n", maxFunction) + "\t}\n}\n"
	if found := longFunctions(written(t, "a.go", table)); len(found) != 0 {
		t.Errorf("a table: %v", found)
	}
}

func TestScatteredMethodsAreFound(t *testing.T) {
	var all []*source
	for _, name := range []string{"a/b.go", "a/c.go", "a/d.go"} {
		all = append(all, written(t, name, "package a\n\nfunc (x *T) "+name[2:3]+"() {}\n")...)
		if found := scattered(all); (len(found) > 0) != (len(all) > maxMethodFiles) {
			t.Errorf("in %d files: found %v", len(all), found)
		}
	}
}
