package datastorecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// statusOptions are those of "status".
type statusOptions struct {
	datastoreOptions
	output string
	quick  bool
}

func newStatusCommand(config Config) *cobra.Command {
	options := statusOptions{datastoreOptions: datastoreOptions{config: config}}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what the datastore is, how it is, and who uses it",
		Long: `Say what the datastore is, how it is, and who uses it. Nothing is changed, and nothing is
made that is not there. The exit code is 1 if it cannot be read.

Warnings are about settings of the database that can lose acknowledged writes, about history
that is not compacted, and about restores that were interrupted.`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return options.run(cmd) },
	}
	options.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&options.output, "output", "o", "text", "The form of the output: text or json.")
	cmd.Flags().BoolVar(&options.quick, "quick", false, "Do not count keys and rows, which reads all of them, without values.")
	return cmd
}

func (o *statusOptions) run(cmd *cobra.Command) error {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("--output is %q: it must be text or json", o.output)
	}
	store, err := o.store()
	if err != nil {
		return err
	}
	return withProgress(cmd, "the status is not complete", func(ctx context.Context, progress *archive.Progress, _ func(string)) error {
		status, err := admin.Inspect(ctx, store, admin.StatusOptions{Quick: o.quick, Progress: progress})
		out := cmd.OutOrStdout()
		if o.output == "json" {
			encoder := json.NewEncoder(out)
			encoder.SetIndent("", "  ")
			return errors.Join(err, encoder.Encode(status))
		}
		if err != nil {
			return err
		}
		return printStatus(out, status)
	})
}

// printStatus writes a status for people.
func printStatus(out io.Writer, s admin.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("Datastore", "%s", s.Datastore)
	row("Version", "%s", s.Version)
	row("Revision", "%d", s.Revision)
	row("Compacted to", "%d, %s", s.CompactRevision, describeCompaction(s))
	if s.Epoch != 0 {
		row("Epoch", "%d", s.Epoch)
	}
	if s.Keys != nil {
		row("Keys", "%d", *s.Keys)
	}
	if s.Rows != nil {
		row("Rows", "%s", describeRows(s))
	}
	row("Size on disk", "%s", byteSize(s.SizeBytes))
	if s.MaxPacketBytes != 0 {
		row("Largest packet", "%s (max_allowed_packet)", byteSize(s.MaxPacketBytes))
	}
	for i, user := range s.Users {
		name := "Used by"
		if i > 0 {
			name = ""
		}
		row(name, "%s", user)
	}
	if len(s.Users) == 0 && s.Kind != "etcd" {
		row("Used by", "nobody")
	}
	if s.RestoreUnfinished {
		row("Restore", "one runs, or was interrupted")
	}
	for _, warning := range s.Warnings {
		row("WARNING", "%s", warning)
	}
	return w.Flush()
}

func describeCompaction(s admin.Status) string {
	when := ""
	if s.LastCompaction != nil {
		when = fmt.Sprintf(", %s ago", time.Duration(*s.LastCompaction)*time.Second)
	} else if s.Kind != "etcd" {
		when = ", never"
	}
	return fmt.Sprintf("%d revisions behind%s", s.SinceCompaction, when)
}

func describeRows(s admin.Status) string {
	parts := []string{fmt.Sprint(*s.Rows)}
	if s.ReplacedRows > 0 {
		parts = append(parts, fmt.Sprintf("%d that a restore has replaced, which servers or compact delete", s.ReplacedRows))
	}
	if s.StagedRows > 0 {
		parts = append(parts, fmt.Sprintf("%d that a restore has prepared, which the next one or compact --discard-staged deletes", s.StagedRows))
	}
	return strings.Join(parts, "; ")
}
