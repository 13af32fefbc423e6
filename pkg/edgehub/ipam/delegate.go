package ipam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// delegateTimeout is how long one call of the delegate may take: host-local takes milliseconds.
const delegateTimeout = 30 * time.Second

// delegate is the plugin that has the ranges.
type delegate struct {
	config *config
	args   *skel.CmdArgs
	exec   invoke.Exec
}

// attachment is whom a call of the delegate is for.
type attachment struct {
	id, ifname string
	// args are CNI_ARGS.
	args string
}

// call runs it, and returns what it prints.
func (d *delegate) call(verb string, a attachment, netconf []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), delegateTimeout)
	defer cancel()
	path, err := d.exec.FindInPath(d.config.Delegate, filepath.SplitList(d.args.Path))
	if err != nil {
		return nil, err
	}
	environ := &invoke.Args{Command: verb, ContainerID: a.id, NetNS: d.args.Netns, PluginArgsStr: a.args, IfName: a.ifname, Path: d.args.Path}
	out, err := d.exec.ExecPlugin(ctx, path, netconf, environ.AsEnv())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.config.Delegate, err)
	}
	return out, nil
}

// add asks for addresses: these, or if there are none what the configuration asks for, or any.
func (d *delegate) add(a attachment, ips []netip.Addr) (*current.Result, error) {
	netconf, err := d.config.forDelegate(d.config.spoken(), ips)
	if err != nil {
		return nil, err
	}
	out, err := d.call("ADD", a, netconf)
	if err != nil {
		return nil, err
	}
	result, err := version.NewResult(d.config.spoken(), out)
	if err != nil {
		return nil, fmt.Errorf("read what %s answers: %w", d.config.Delegate, err)
	}
	return current.NewResultFromResult(result)
}

// tell calls it with a verb that has no answer.
func (d *delegate) tell(verb string, a attachment) error {
	netconf, err := d.config.forDelegate(d.config.spoken(), nil)
	if err != nil {
		return err
	}
	_, err = d.call(verb, a, netconf)
	return err
}

// speaks11 reports whether it knows GC and STATUS.
func (d *delegate) speaks11() (bool, error) {
	out, err := d.call("VERSION", attachment{}, []byte(`{"cniVersion":"1.1.0"}`))
	if err != nil {
		return false, err
	}
	info, err := d.exec.Decode(out)
	if err != nil {
		return false, fmt.Errorf("%s: %w", d.config.Delegate, err)
	}
	return slices.Contains(info.SupportedVersions(), "1.1.0"), nil
}

// gc has it forget all but these.
func (d *delegate) gc(keep []types.GCAttachment) error {
	netconf, err := d.config.forDelegate("1.1.0", nil)
	if err != nil {
		return err
	}
	var all object
	if err := json.Unmarshal(netconf, &all); err != nil {
		return err
	}
	for _, key := range []string{"cni.dev/valid-attachments", "cni.dev/attachments"} {
		all[key] = must(keep)
	}
	_, err = d.call("GC", attachment{}, must(all))
	return err
}

func of(r *book.Reservation) attachment {
	return attachment{r.ID(), r.Interface, "IgnoreUnknown=1"}
}

// Of what host-local answers, this is final: it has not got the address to give. Everything else, such as a full disk, may be otherwise the next time. It has said so in these words
// since 2017, and a test holds those of the version that is installed to them.
var final = []string{
	"is not available in range set",
	"failed to allocate all requested IPs",
	"is subnet's gateway",
}

// refused returns the addresses that the delegate will not give: those that its answer names, or all.
func refused(err error, asked []netip.Addr) []netip.Addr {
	if err == nil || !slices.ContainsFunc(final, func(words string) bool { return strings.Contains(err.Error(), words) }) {
		return nil
	}
	var named []netip.Addr
	for _, word := range strings.Fields(err.Error()) {
		if ip, err := netip.ParseAddr(strings.Trim(word, `",;`)); err == nil && slices.Contains(asked, ip) {
			named = append(named, ip)
		}
	}
	if named == nil {
		return asked
	}
	return named
}

// execution runs plugins that inherit the lock of the book: if we are killed, nobody changes what the delegate is about to change.
type execution struct {
	invoke.DefaultExec
	lock *os.File
}

// ExecPlugin is that of invoke.Exec.
func (e *execution) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, bytes.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	if e.lock != nil {
		cmd.ExtraFiles = []*os.File{e.lock}
	}
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("it has not ended: %w", cause)
	}
	answer := &types.Error{}
	if json.Unmarshal(stdout.Bytes(), answer) == nil && answer.Msg != "" {
		return nil, answer
	}
	return nil, fmt.Errorf("%w: %q", err, strings.TrimSpace(stdout.String()+stderr.String()))
}
