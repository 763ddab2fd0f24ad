// cluster runs one component of a real control plane per process: the API server with its etcd, controllers and
// scheduler, Argo CD, a stand-in for Redis, and the clients of both. Each component keeps global state, so each needs a process of its own;
// one binary holds them all because they share nearly all of their code.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	appcontroller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	appset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	argoserver "github.com/argoproj/argo-cd/v3/cmd/argocd-server/commands"
	argocli "github.com/argoproj/argo-cd/v3/cmd/argocd/commands"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: cluster COMPONENT [FLAGS]")
	}
	name := os.Args[1]
	// Components read os.Args themselves: what they see is their own name and flags.
	os.Args = append([]string{name}, os.Args[2:]...)
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "argocd-application-controller":
		execute(appcontroller.NewCommand())
	case "argocd-applicationset-controller":
		execute(appset.NewCommand())
	case "argocd-repo-server":
		execute(reposerver.NewCommand())
	case "argocd-server":
		execute(argoserver.NewCommand())
	case "argocd":
		execute(argocli.NewCommand())
	case "miniredis":
		redis(os.Args[1:])
	default:
		fail("no such component: " + name)
	}
}

func execute(command *cobra.Command) {
	command.SetArgs(os.Args[1:])
	if err := command.Execute(); err != nil {
		fail(err.Error())
	}
}

// redis serves the cache that Argo CD's components share, at the address given.
func redis(args []string) {
	if len(args) != 1 {
		fail("usage: cluster miniredis ADDRESS")
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(args[0]); err != nil {
		fail("cannot listen on " + args[0] + ": " + err.Error())
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	server.Close()
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
