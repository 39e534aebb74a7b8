--[==[ conformance
asks: one activity and its result, in a workflow without time-outs
weight: A
needs: ml.activity
result: "hello"
events:
  WorkflowExecutionStarted workflowType.name="activity/basic_no_workflow_timeout"
    workflowExecutionTimeout=null workflowRunTimeout=null workflowTaskTimeout="10s"
  Task
  ActivityTaskScheduled activityType.name="basic.echo" activityId="1" input=["hello"] startToCloseTimeout="60s" taskQueue.name="$QUEUE"
  ActivityTaskStarted attempt=1
  ActivityTaskCompleted result=["hello"]
  Task
  WorkflowExecutionCompleted result=["hello"]
]==]
local ml = require "moonloop"
local echo = ml.activity("basic.echo", { timeout = "60s" }, function(text) return text end)

ml.workflow("activity/basic_no_workflow_timeout", function() return echo("hello") end)
