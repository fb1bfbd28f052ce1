// A PHP site on Lambda, behind an HTTP API, with MySQL through RDS Proxy: a stack for the AWS CDK, version 2.
//
// Runtime and layers come from phplayer; the layers' regions must be the stack's.
import { CfnOutput, Duration, Stack, StackProps } from 'aws-cdk-lib';
import { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2';
import { Architecture, Code, Function, LayerVersion, Runtime } from 'aws-cdk-lib/aws-lambda';
import { IDatabaseProxy } from 'aws-cdk-lib/aws-rds';
import { Construct } from 'constructs';

const LAYERS = [
{{LAYERS:  '|',}}
];

export interface SiteProps extends StackProps {
  /** Where the proxy is. */
  readonly vpc: IVpc;
  /** A group that the proxy's own lets in at 3306. */
  readonly securityGroup: ISecurityGroup;
  readonly proxy: IDatabaseProxy;
  readonly database: { readonly name: string; readonly user: string };
}

export class SiteStack extends Stack {
  constructor(scope: Construct, id: string, props: SiteProps) {
    super(scope, id, props);
    const site = new Function(this, 'Site', {
      code: Code.fromAsset('.'),
      handler: 'public/index.php',
      runtime: Runtime.PROVIDED_AL2023,
      architecture: Architecture.{{CDK_ARCH}},
      memorySize: 1024,
      timeout: Duration.seconds(28), // an HTTP API waits 30 seconds at most
      layers: LAYERS.map((arn, index) => LayerVersion.fromLayerVersionArn(this, `Layer${index}`, arn)),
      environment: {
        DB_HOST: props.proxy.endpoint,
        DB_NAME: props.database.name,
        DB_USER: props.database.user,
      },
      vpc: props.vpc,
      securityGroups: [props.securityGroup],
    });
    // A token instead of a password; it lasts 15 minutes, and is only for connecting.
    props.proxy.grantConnect(site, props.database.user);
    const api = new HttpApi(this, 'Api', { defaultIntegration: new HttpLambdaIntegration('Integration', site) });
    new CfnOutput(this, 'Url', { value: api.apiEndpoint });
  }
}
