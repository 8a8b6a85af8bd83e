package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManual is for those who make packages.
func newManual() *cobra.Command {
	return &cobra.Command{
		Use:     "manual DIRECTORY",
		Short:   "Write the manual pages",
		Example: "  ftpalg manual man1",
		Args:    cobra.ExactArgs(1),
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			for _, page := range append([]*cobra.Command{c.Root()}, c.Root().Commands()...) {
				if page.Hidden || page.Name() == "help" || page.Name() == "completion" {
					continue
				}
				file := filepath.Join(args[0], strings.ReplaceAll(page.CommandPath(), " ", "-")+".1")
				if err := os.WriteFile(file, []byte(manualPage(page)), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// manualPage is the help of a command in the language of man(7).
func manualPage(c *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	b.WriteString(".TH " + strings.ToUpper(name) + " 1 \"\" ftpalg\n")
	b.WriteString(".SH NAME\n" + roff(name+" - "+c.Short) + "\n")
	b.WriteString(".SH SYNOPSIS\n.B " + roff(c.UseLine()) + "\n.SH DESCRIPTION\n" + roff(c.Long) + "\n")
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, s := range c.Commands() {
			if s.IsAvailableCommand() {
				b.WriteString(".TP\n.B " + roff(s.Name()) + "\n" + roff(s.Short) + "\n")
			}
		}
	}
	if c.HasAvailableFlags() {
		b.WriteString(".SH OPTIONS\n")
		c.Flags().VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			b.WriteString(".TP\n.B " + roff(strings.TrimSpace("--"+f.Name+" "+value)) + "\n")
			b.WriteString(roff(usage) + "\n")
		})
	}
	b.WriteString(".SH EXAMPLES\n.nf\n" + roff(c.Example) +
		"\n.fi\n")
	if exit := c.Annotations[exitAnnotation]; exit != "" {
		b.WriteString(".SH EXIT STATUS\n.nf\n" + roff(exit) + "\n.fi\n")
	}
	b.WriteString(".SH FILES\n/etc/ftpalg.yaml: the configuration, which names every key\n")
	return b.String()
}

// roff keeps text from being taken for requests and escapes, line by line.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
