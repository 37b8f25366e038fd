// Command argo concludes what Argo CD concludes and does what it does, by the code of Argo CD itself: its settings, its
// health checks and actions, its tracking of resources and its sync engine.
//
//	argo ask NAMESPACE
//	argo sync [-wait] [-server-side] NAMESPACE APPLICATION FOLDER
//
// NAMESPACE holds the ConfigMap argocd-cm, which is read as Argo CD reads it. "ask" takes questions about resources, one
// JSON object a line, and answers each with one. "sync" brings the manifests of a folder into the namespace, prunes what
// the folder has no more, and says how that ended. $KUBECONFIG names the cluster. It knows nothing of Perdure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/sirupsen/logrus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is far above what anything here takes on a busy machine.
const patience = 3 * time.Minute

func main() {
	logrus.SetLevel(logrus.ErrorLevel)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	options := flag.NewFlagSet("argo", flag.ExitOnError)
	wait := options.Bool("wait", false, "wait until no resource progresses any more")
	serverSide := options.Bool("server-side", false, "as with the sync option ServerSideApply=true")
	if len(os.Args) < 2 {
		return fmt.Errorf("argo ask or argo sync?")
	}
	if err := options.Parse(os.Args[2:]); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = v1alpha1.K8sClientConfigQPS, v1alpha1.K8sClientConfigBurst
	overrides, err := customizations(ctx, config, options.Arg(0))
	if err != nil {
		return err
	}
	if os.Args[1] == "ask" {
		return ask(overrides)
	}
	app := &application{
		name: options.Arg(1), namespace: options.Arg(0), folder: options.Arg(2),
		config: config, overrides: overrides, isServerSide: *serverSide,
	}
	return app.deliver(ctx, *wait)
}

// customizations gives what argocd-cm says about kinds of resources.
func customizations(
	ctx context.Context, config *rest.Config, namespace string,
) (map[string]v1alpha1.ResourceOverride, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return settings.NewSettingsManager(ctx, client, namespace).GetResourceOverrides()
}
