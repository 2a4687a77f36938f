//! The product's error numbers, 1 to 3009 (`error-codes.tsv`): one enum holds them all.

macro_rules! codes {
    ($($number:literal $name:ident $meaning:literal,)*) => {
        /// An error number of the product. A failed command returns it with a minus sign.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $meaning] $name = $number,)*
        }

        impl Code {
            /// Every code, in the order of the numbers' table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The table's wording.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }
        }
    };
}

impl Code {
    /// The number as printed in the guide (positive).
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number, sign ignored.
    pub fn from_number(number: i64) -> Option<Code> {
        let number = u16::try_from(number.unsigned_abs()).ok()?;
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// What a command that failed with this code returns.
    pub fn value(self) -> i64 {
        -i64::from(self.number())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-{}", self.number())
    }
}

codes! {
    1 UnknownError "Unknown error (command failed, no predefined code fits)",
    101 InvalidParameterWasSupplied "Invalid parameter was supplied",
    102 CommandNotValidOrItsSyntaxIncorrect "Command not valid or its syntax incorrect",
    103 SourceModuleIsNotLoaded "Source module is not loaded",
    104 NoSourceIdentified "No source identified",
    105 TargetModuleIsNotLoaded "Target module is not loaded",
    106 ConnectionAlreadyEstablished "Connection already established",
    107 ConnectionDoesNotExist "Connection does not exist",
    108 MirrorCurrentlyActive "Mirror currently active",
    109 ServerDoesNotExistOrCouldNotBeLocated "Server does not exist or could not be located",
    110 ServerIsNotResponding "Server is not responding",
    111 ProductIsRunning "Product is running",
    112 UnknownConnectionError "Unknown connection error",
    113 MirrorAlreadyActive "Mirror already active",
    114 DateIsInvalid "Date is invalid (format mm/dd/yy)",
    115 TimeIsInvalid "Time is invalid (format hh:mm)",
    116 InvalidOptionSupplied "Invalid option supplied",
    117 MirrorIsNotPaused "Mirror is not paused",
    118 ConnectionIsNotPaused "Connection is not paused",
    119 ConnectionDoesNotExist119 "Connection does not exist",
    120 ConnectionAlreadyConnected "Connection already connected",
    121 MirrorIsNotRunning "Mirror is not running",
    122 JobExists "Job exists",
    123 JobDoesNotExist "Job does not exist",
    124 NoJobHasBeenSelected "No job has been selected",
    125 ConnectionIsReplicating "Connection is replicating",
    126 ConnectionIsNotReplicating "Connection is not replicating",
    127 JobIsEnabled "Job is enabled",
    128 ScheduleIsNotDefined "Schedule is not defined",
    129 JobIsChanged "Job is changed",
    130 JobIsInUse "Job is in use",
    131 NoTargetIdentified "No target identified",
    132 MemoryIsLow "Memory is low",
    133 MemoryIsSufficient "Memory is sufficient",
    134 ReplicationIsPending "Replication is pending",
    135 InvalidOptionSupplied135 "Invalid option supplied",
    136 JobReplicationRuleDoesNotExist "Job replication rule does not exist",
    137 MirrorQueueIsFull "Mirror queue is full",
    138 InsufficientSecurityAccess "Insufficient security access",
    139 ScheduleCommandIsInvalid "Schedule command is invalid",
    140 SourcePathIsInvalid "Source path is invalid",
    141 JobIsNotChanged "Job is not changed",
    142 InsufficientSourceSecurityAccess "Insufficient source security access",
    143 InvalidStatisticsFile "Invalid statistics file",
    144 JobNotSaved "Job not saved",
    145 ConnectionFailed "Connection failed",
    146 CleanerOptionIsNotEnabled "Cleaner option is not enabled",
    147 TargetMirrorCapacityHighThresholdIsMet "Target mirror capacity high threshold is met",
    148 TargetMirrorCapacityLowThresholdIsMet "Target mirror capacity low threshold is met",
    149 NewOptionApplied "New option applied",
    150 TargetIsRestarted "Target is restarted",
    151 ReplicationIsOutOfMemory "Replication is out of memory",
    152 WriteAccessIsBlockedOnTheVolume "Write access is blocked on the volume",
    153 TransmissionIsPaused "Transmission is paused",
    154 TransmissionIsActive "Transmission is active",
    155 TargetDoesNotSupportTheCommand "Target does not support the command",
    156 CommandConversionForADifferentProductVersionFailed "Command conversion for a different product version failed",
    157 IncompatibleSourceAndTargetProductVersions "Incompatible source and target product versions",
    158 IncompatibleSourceAndTargetOperatingSystemVersions "Incompatible source and target operating system versions",
    159 NASServerToNonNASServerNotSupported "NAS server to non-NAS server not supported",
    160 TargetModuleIsNotLoaded160 "Target module is not loaded",
    161 OperationOrCommandIsNotSupported "Operation or command is not supported",
    162 TargetIsPaused "Target is paused",
    163 TargetIsPending "Target is pending",
    164 TargetIsActive "Target is active",
    165 TargetIsRetryingOperations "Target is retrying operations",
    166 TargetIsNoLongerRetryingOperations "Target is no longer retrying operations",
    167 RestoreRequiredStateIsUnknown "Restore required state is unknown",
    168 NotAValidFailoverOrCutoverSource "Not a valid failover or cutover source",
    169 FailoverOrCutoverLoginFailed "Failover or cutover login failed",
    170 FeatureIsNotSupported "Feature is not supported",
    171 CommandIsNotSupported "Command is not supported",
    172 TargetQueueLogFileError "Target queue log file error",
    173 TargetDiskIsFull "Target disk is full",
    174 TargetDiskHasSufficientDiskSpace "Target disk has sufficient disk space",
    175 ErrorReadingOrWritingTheQueueLogFile "Error reading or writing the queue log file",
    176 MemoryBasedQueueIsInUse "Memory-based queue is in use",
    177 DiskBasedQueueIsInUse "Disk-based queue is in use",
    178 RestoreIsRequired "Restore is required",
    179 IDSuppliedByTheDriverToTheServiceIsInvalid "ID supplied by the driver to the service is invalid",
    180 ChildPathIsBlocked "Child path is blocked",
    181 ParentPathIsBlocked "Parent path is blocked",
    182 TargetPathBlockingIsDisabled "Target path blocking is disabled",
    183 ConnectionIDSpecifiedIsInvalid "Connection ID specified is invalid",
    184 NoCommandObjectsAreInTheQueue "No command objects are in the queue",
    185 HandshakeWasNotCompleted "Handshake was not completed",
    186 StatsServerWasNotStarted "Stats server was not started",
    187 ScheduleIsPaused "Schedule is paused",
    188 ScheduleIsResumed "Schedule is resumed",
    189 TargetStateHasChanged "Target state has changed",
    190 TargetNameHasChanged "Target name has changed",
    191 AcknowledgementQueueHasBeenUpdated "Acknowledgement queue has been updated",
    201 MonitorNameExists "Monitor name exists",
    202 MonitorNameDoesNotExist "Monitor name does not exist",
    203 MonitorConfigurationExists "Monitor configuration exists",
    204 MonitorConfigurationDoesNotExist "Monitor configuration does not exist",
    205 MonitorConfigurationIsInUse "Monitor configuration is in use",
    206 MonitorConfigurationIsNotInUse "Monitor configuration is not in use",
    207 SourceIsOnline "Source is online",
    208 SourceIsOffline "Source is offline",
    209 ServerIsNotFailedOver "Server is not failed over",
    210 ServerIsFailedOver "Server is failed over",
    211 ServerIsNotBeingMonitored "Server is not being monitored",
    212 FailbackIsInProgress "Failback is in progress",
    213 IPAddressPlaceholdersOnTheTargetAreUnavailable "IP address placeholders on the target are unavailable",
    214 TargetNICWasNotFound "Target NIC was not found",
    215 SourceModuleIsNotLoaded215 "Source module is not loaded",
    216 FailedToSetTheSourceState "Failed to set the source state",
    217 UnableToPingSource "Unable to ping source",
    218 InvalidArgument "Invalid argument",
    219 RecoveryIsBusy "Recovery is busy",
    220 InvalidCommand "Invalid command",
    221 RecoveryIsStarted "Recovery is started",
    222 ScriptFailedToStart "Script failed to start",
    223 ScriptTimeoutMet "Script timeout met",
    224 NoReplicationTimeoutMetConnectionIsBad "No-replication timeout met, connection is bad",
    225 InvalidPath "Invalid path",
    226 KernelModuleIsNotLoaded "Kernel module is not loaded",
    227 SystemDumpHasFailed "System dump has failed",
    228 ResponseIsNull "Response is null",
    229 ObjectStreamIsNotOK "Object stream is not OK",
    230 TransactionalNTFSSavePointsNotSupported "Transactional NTFS (TxF) SavePoints (intermediate rollback points) not supported",
    231 DataOverload "Data overload",
    232 TheServiceFailedToStart "The service failed to start",
    233 TheDriverFailedToStart "The driver failed to start",
    234 FileDirectoryMismatchDirectoryExpected "File/directory mismatch, directory expected",
    235 FileDirectoryMismatchFileExpected "File/directory mismatch, file expected",
    2001 TransformInitializationFailed "Transform initialization failed",
    2002 GeneralTransformFailure "General transform failure",
    2003 TransformVolumeCount "Transform volume count",
    2004 TransformMissingSource "Transform missing source",
    2005 TransformMissingTarget "Transform missing target",
    2101 NetworkControllerInitializationFailed "Network controller initialization failed",
    2102 GeneralNetworkControllerFailure "General network controller failure",
    2103 NetworkControllerAlreadyStarted "Network controller already started",
    2104 NoSocketOnTheNetworkController "No socket on the network controller",
    2105 ListenFailureOnTheNetworkController "Listen failure on the network controller",
    2200 EMailNotificationIsFunctioningProperly "E-mail notification is functioning properly",
    2201 ErrorCommunicatingWithEMailServer "Error communicating with e-mail server",
    2202 ErrorConnectingToEMailServer "Error connecting to e-mail server",
    2203 EMailNotificationIsDisabled "E-mail notification is disabled",
    2204 EMailNotificationIsEnabled "E-mail notification is enabled",
    2205 EMailNotificationRequiresInternetExplorer50AndWMI "E-mail notification requires Internet Explorer 5.0 and WMI",
    2206 EMailNotificationRequiresInternetExplorer50 "E-mail notification requires Internet Explorer 5.0",
    2207 ErrorSendingEMail "Error sending e-mail",
    2208 ErrorSendingTestEMail "Error sending test e-mail",
    2209 WMIErrorConnectingToEMailServer "WMI error connecting to e-mail server",
    2210 EMailNotificationRequiresWMI "E-mail notification requires WMI",
    2211 EventViewerSettingsForEMailNotificationAreInvalid "Event Viewer settings for e-mail notification are invalid",
    2212 EMailNotificationSettingIsInvalid "E-mail notification setting is invalid",
    2213 EMailNotificationAddressExists "E-mail notification address exists",
    2214 EMailNotificationAlertIDIsInvalid "E-mail notification alert ID is invalid",
    2215 EMailNotificationFormatIsInvalid "E-mail notification format is invalid",
    2216 EMailNotificationAddressDoesNotExist "E-mail notification address does not exist",
    2217 EMailNotificationAddressNotificationListIsEmpty "E-mail notification address notification list is empty",
    2218 EMailWarningIsNotSet "E-mail warning is not set",
    2219 EMailTestWarningIsNotSet "E-mail test warning is not set",
    2301 BandwidthLimitingTimeExists "Bandwidth limiting time exists",
    2302 BandwidthLimitingNameExists "Bandwidth limiting name exists",
    2303 BandwidthLimitNotFound "Bandwidth limit not found",
    2304 BandwidthLimitDayIsInvalid "Bandwidth limit day is invalid",
    2305 BandwidthLimitLabelIsInvalid "Bandwidth limit label is invalid",
    2401 SnapshotModuleIsNotLoaded "Snapshot module is not loaded",
    2402 ErrorReadingTheSnapshotDll "Error reading the snapshot .dll",
    2403 SnapshotNotFound "Snapshot not found",
    2404 NoSnapshotConnectionsFound "No snapshot connections found",
    2405 SnapshotRevertCompleted "Snapshot revert completed",
    2406 SnapshotRevertIsInProgress "Snapshot revert is in progress",
    2501 FullServerFunctionalityIsDisabled "Full server functionality is disabled",
    2502 NoFullServerInterfaceAvailable "No full server interface available",
    3001 RefusedCodeTargetModeSmallBusinessServer "Refused code - target mode Small Business Server",
    3002 RefusedCodeTargetModeCarboniteMigrate "Refused code - target mode Carbonite Migrate",
    3003 RefusedCodeDuplicate "Refused code - duplicate",
    3004 RefusedCodeCloudJob "Refused code - cloud job",
    3005 RefusedCodeCarboniteMigrateCodeMismatch "Refused code - Carbonite Migrate code mismatch",
    3006 RefusedCodeTargetLicense "Refused code - target license",
    3007 RefusedCodeSPLACode "Refused code - SPLA code",
    3008 RefusedCodeNoCodes "Refused code - no codes",
    3009 RefusedCodeExpiredCode "Refused code - expired code",
}
