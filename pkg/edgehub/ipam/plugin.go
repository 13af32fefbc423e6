package ipam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// lockTimeout is how long to wait for other calls: all pods of a node start at once after a reboot, and each writes to the disk.
const lockTimeout = 100 * time.Second

// Plugin answers calls. The zero value calls real delegates.
type Plugin struct {
	// Exec runs delegates, nil the real ones.
	Exec invoke.Exec
	// Boot is book.Boot if it is empty.
	Boot string
	// Log is where remarks go: container runtimes have a plugin's standard error in their log. Nil is os.Stderr.
	Log io.Writer
}

// Main answers the one call that environment and standard input are, as CNI has it, and ends the process.
func Main(about string) {
	p := &Plugin{}
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: func(args *skel.CmdArgs) error {
			result, err := p.Add(args)
			if err != nil {
				return err
			}
			return result.Print()
		},
		Del: p.Del, Check: p.Check, GC: p.GC, Status: p.Status,
	}, version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0"), about)
}

// Add gives a sandbox its addresses.
func (p *Plugin) Add(args *skel.CmdArgs) (types.Result, error) {
	v, err := p.visit(args)
	if err != nil {
		return nil, answer(err)
	}
	defer v.pages.Close()
	result, err := v.add()
	if err != nil {
		return nil, answer(err)
	}
	return result.GetAsVersion(v.config.version)
}

// Del says that a sandbox is gone. It succeeds although that cannot be written, for a pod that cannot be removed is worse: the sandbox's network namespace says it, too.
func (p *Plugin) Del(args *skel.CmdArgs) error {
	v, err := p.visit(args)
	if errors.Is(err, book.ErrNewer) {
		p.say("%v", err)
		return answer(p.withoutBook(args))
	} else if err != nil {
		return answer(err)
	}
	defer v.pages.Close()
	return answer(v.del())
}

// withoutBook has the delegate forget what it knows by the sandbox's own ID.
func (p *Plugin) withoutBook(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	d := &delegate{config: c, args: args, exec: p.execution(nil)}
	return d.tell("DEL", attachment{args.ContainerID, args.IfName, args.Args})
}

// Check reports whether a sandbox has what it was given.
func (p *Plugin) Check(args *skel.CmdArgs) error {
	v, err := p.visit(args)
	if err != nil {
		return answer(err)
	}
	defer v.pages.Close()
	return answer(v.check())
}

// GC is told all sandboxes that there are.
func (p *Plugin) GC(args *skel.CmdArgs) error {
	v, err := p.visit(args)
	if err != nil {
		return answer(err)
	}
	defer v.pages.Close()
	return answer(v.gc())
}

// Status reports whether Add can work: the book can be read and written, and the delegate is there.
func (p *Plugin) Status(args *skel.CmdArgs) error {
	v, err := p.visit(args)
	if err != nil {
		return unavailable(err)
	}
	defer v.pages.Close()
	if err := v.pages.Save(); err != nil {
		return unavailable(err)
	}
	newer, err := v.delegate.speaks11()
	if err != nil {
		return unavailable(err)
	}
	if !newer {
		return nil
	}
	netconf, err := v.config.forDelegate("1.1.0", nil)
	if err != nil {
		return answer(err)
	}
	_, err = v.delegate.call("STATUS", attachment{}, netconf)
	return answer(err)
}

// visit opens the book for a call.
func (p *Plugin) visit(args *skel.CmdArgs) (*visit, error) {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return nil, err
	}
	who, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	pages, err := book.In(c.StateDir).Open(ctx)
	if err != nil {
		return nil, err
	}
	if !c.Volatile && isVolatile(c.StateDir) {
		pages.Close()
		return nil, invalid("ipam.koinon.stateDir: %s is in memory: what is kept there does not outlive a reboot; name a directory on a disk, or say volatile", c.StateDir)
	}
	if pages.Damaged != nil {
		p.say("%v; it was put aside, and %s is asked what is given", pages.Damaged, c.Delegate)
	}
	v := &visit{plugin: p, config: c, args: args, pod: who, pages: pages, boot: p.Boot}
	v.delegate = &delegate{config: c, args: args, exec: p.execution(pages.Lock())}
	if v.boot == "" {
		v.boot = book.Boot()
	}
	v.meet()
	return v, nil
}

func (p *Plugin) execution(lock *os.File) invoke.Exec {
	if p.Exec != nil {
		return p.Exec
	}
	return &execution{lock: lock}
}

func (p *Plugin) say(format string, args ...any) {
	out := p.Log
	if out == nil {
		out = os.Stderr
	}
	fmt.Fprintf(out, Type+": "+format+"\n", args...)
}

// answer is an error as CNI has it, with the code of the one that it wraps.
func answer(err error) error {
	if err == nil {
		return nil
	}
	code := types.ErrInternal
	var known *types.Error
	if errors.As(err, &known) {
		code = known.Code
	}
	return types.NewError(code, Type+": "+err.Error(), "")
}

func unavailable(err error) error {
	return types.NewError(types.ErrPluginNotAvailable, Type+": "+err.Error(), "")
}
