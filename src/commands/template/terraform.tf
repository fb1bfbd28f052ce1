# A PHP site on Lambda, behind an HTTP API, with MySQL through RDS Proxy. Zip the application as app.zip, then: terraform apply
#
# Runtime and layers come from phplayer; the layers' regions must be the provider's.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

provider "aws" {
  region = "{{REGION}}"
}

variable "subnet_ids" {
  description = "Private subnets, from which the proxy can be reached"
  type        = list(string)
}

variable "security_group_ids" {
  description = "A group that the proxy's own lets in at 3306"
  type        = list(string)
}

variable "proxy" {
  description = "The RDS Proxy: its endpoint and its id (prx-…)"
  type = object({
    endpoint = string
    id       = string
  })
}

variable "database" {
  type = object({
    name = string
    user = string
  })
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

resource "aws_iam_role" "site" {
  name = "site"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "vpc" {
  role       = aws_iam_role.site.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

# A token instead of a password; it lasts 15 minutes, and is only for connecting.
resource "aws_iam_role_policy" "database" {
  role = aws_iam_role.site.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "rds-db:connect"
      Resource = "arn:${data.aws_partition.here.partition}:rds-db:{{REGION}}:${data.aws_caller_identity.here.account_id}:dbuser:${var.proxy.id}/${var.database.user}"
    }]
  })
}

resource "aws_lambda_function" "site" {
  function_name    = "site"
  role             = aws_iam_role.site.arn
  filename         = "app.zip"
  source_code_hash = filebase64sha256("app.zip")
  runtime          = "provided.al2023"
  handler          = "public/index.php"
  architectures    = ["{{ARCH}}"]
  memory_size      = 1024
  timeout          = 28 # an HTTP API waits 30 seconds at most

  layers = [
{{LAYERS:    "|",}}
  ]

  environment {
    variables = {
      DB_HOST = var.proxy.endpoint
      DB_NAME = var.database.name
      DB_USER = var.database.user
    }
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }
}

# A target makes the $default route and stage, which take / too.
resource "aws_apigatewayv2_api" "site" {
  name          = "site"
  protocol_type = "HTTP"
  target        = aws_lambda_function.site.arn
}

resource "aws_lambda_permission" "site" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.site.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.site.execution_arn}/*/*"
}

output "url" {
  value = aws_apigatewayv2_api.site.api_endpoint
}
