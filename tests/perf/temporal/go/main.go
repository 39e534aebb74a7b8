// The worker of scripts/bench --temporal with the official Go SDK: worker ADDRESS TASK-QUEUE.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func step(_ context.Context, n int) (int, error) {
	return n + 1, nil
}

func one(ctx workflow.Context, n int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 30 * time.Second})
	var x int
	err := workflow.ExecuteActivity(ctx, step, n).Get(ctx, &x)
	return x, err
}

func steps(ctx workflow.Context, n int) (int, error) {
	return stepsAt(ctx, n, "")
}

func stepsAt(ctx workflow.Context, n int, queue string) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 30 * time.Second, TaskQueue: queue})
	x := 0
	for i := 0; i < n; i++ {
		if err := workflow.ExecuteActivity(ctx, step, x).Get(ctx, &x); err != nil {
			return 0, err
		}
	}
	return x, nil
}

func main() {
	quiet := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	c, err := client.Dial(client.Options{HostPort: os.Args[1], Logger: quiet})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	w := worker.New(c, os.Args[2], worker.Options{})
	w.RegisterWorkflowWithOptions(one, workflow.RegisterOptions{Name: "one"})
	w.RegisterWorkflowWithOptions(steps, workflow.RegisterOptions{Name: "steps"})
	w.RegisterWorkflowWithOptions(stepsAt, workflow.RegisterOptions{Name: "steps_at"})
	w.RegisterActivity(step)
	if err := w.Run(worker.InterruptCh()); err != nil {
		panic(err)
	}
}
