// Package datastorecmd has the commands "koinon datastore …": they look at a datastore, back it
// up, restore it, move to another one and compact it. What they do is in pkg/storage/admin; here
// are flags, help texts, and what is written for people. It has the flags, too, with which the
// server is told where its datastore is, since both are told in the same way.
//
// Nothing in it is meant to be called concurrently.
package datastorecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// Config is what the commands need of the server that they belong to.
type Config struct {
	// DataDir is the default of --data-dir.
	DataDir string
	// Fill makes a data directory that is to be filled, so that a server takes it for its own,
	// and locks it until it is closed. It returns nil without an error if a server has it.
	Fill func(path string) (io.Closer, error)
}

// New returns the command "datastore" with its subcommands.
func New(config Config) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "datastore",
		Short: "Look at the datastore, back it up, restore it, move to another one",
		Long: `Look at the datastore, compact it, back it up, restore it, and move to another one.

All commands find the datastore as "koinon server" does: --datastore, or else the
environment variable KOINON_DATASTORE, or else SQLite in --data-dir. Each can be interrupted
at any moment and run again.`,
		// The default would repeat an unknown command, which may be a data source name.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New(commandline.UnknownCommand(cmd, args[0], "unknown command"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newStatusCommand(config), newBackupCommand(config), newRestoreCommand(config), newMigrateCommand(config), newCompactCommand(config), newSchemaCommand(),
	)
	return cmd
}

// datastoreOptions are what the commands have in common, and with the server.
type datastoreOptions struct {
	config    Config
	DataDir   string
	Datastore string
	Access    admin.Access
}

// addFlags adds the flags of the server that say where its datastore is.
func (o *datastoreOptions) addFlags(fs *pflag.FlagSet) {
	o.addDataDirFlag(fs)
	AddFlags(fs, &o.Datastore, &o.Access.PasswordFile, &o.Access.TLS)
}

func (o *datastoreOptions) addDataDirFlag(fs *pflag.FlagSet) {
	fs.StringVar(&o.DataDir, "data-dir", o.config.DataDir, "The data directory of the server, for a datastore in it.")
}

// store is the datastore that is meant.
func (o *datastoreOptions) store() (admin.Store, error) {
	value := o.Datastore
	if value == "" {
		value = os.Getenv(Variable)
	}
	return admin.Parse(value, o.DataDir, o.Access)
}

// withProgress calls do and shows how far it is. What is interrupted gets a sentence that
// says what that means.
func withProgress(cmd *cobra.Command, interrupted string, do func(ctx context.Context, progress *archive.Progress, warn func(string)) error) error {
	ctx, out := cmd.Context(), cmd.ErrOrStderr()
	var progress archive.Progress
	stop := showProgress(out, &progress)
	defer stop()
	err := do(ctx, &progress, func(sentence string) {
		if isTerminal(out) {
			_, _ = fmt.Fprint(out, clearLine)
		}
		_, _ = fmt.Fprintf(out, "Note: %s.\n", sentence)
	})
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: " + interrupted)
	}
	return err
}

// arguments wants exactly as many as have names. It does not repeat what was given.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return fmt.Errorf("%s takes no arguments, and %d were given", cmd.CommandPath(), len(args))
		}
		return fmt.Errorf("%s takes %s, and %d arguments were given", cmd.CommandPath(), strings.Join(names, " and "), len(args))
	}
}
